import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { create } from 'tar';
import { FileList } from '../../../src/data/image-folder/listing.js';
import { findGroundTruths } from '../../../src/data/imagenet/layout.js';
import { readMat } from '../../../src/data/imagenet/mat.js';
import { readList, writeList } from '../../../src/data/imagenet/register.js';
import { verifyRecords } from '../../../src/data/records/fetch.js';
import { loadRecords, type RecordLayout } from '../../../src/data/records/layout.js';
import { convertForms, extractFiles } from '../../../src/data/records/sources.js';
import { cifar10Layout } from '../../../src/data/registry.js';
import type { InputError } from '../../../src/errors.js';
import { Budget } from '../../../src/json.js';
import { Random } from '../../../src/random.js';
import { hash } from '../../data/smallCifar10.js';
import type { Reader } from '../fuzz.js';
import { mutated, mutatedText } from '../mutation.js';
import { withRightChecksums } from '../png.js';
import { scratchFolder } from '../scratch.js';

const wanted = new Map([
  ['data_batch_1.bin', 6146],
  ['test_batch.bin', 6146],
]);
/** Noise, which does not shrink: an archive that does is refused. */
const noise = new Random(1, 'records');
const records = Uint8Array.from({ length: 6146 }, (_, i) => (i % 3073 === 0 ? 1 : noise.below(256)));

/** Two images a file, two files: as CIFAR-10 is laid out. */
const layout: RecordLayout = {
  ...cifar10Layout,
  files: [
    { name: 'data_batch_1.bin', split: 'train', images: 2, sha256: hash('sha256', records) },
    { name: 'test_batch.bin', split: 'test', images: 2, sha256: hash('sha256', records) },
  ],
  npm: { archive: '', spec: '', integrity: '' },
  official: { archive: '', url: '', bytes: 0, sha256: '' },
};

async function tarFiles(): Promise<Buffer[]> {
  const folder = scratchFolder();
  await mkdir(join(folder, 'cifar-10-batches-bin', 'a'.repeat(120)), { recursive: true });
  for (const name of [...wanted.keys(), 'readme.html', `${'a'.repeat(120)}/${'b'.repeat(90)}`]) {
    await writeFile(join(folder, 'cifar-10-batches-bin', name), records);
  }
  for (const portable of [true, false])
    await create({ file: join(folder, `${portable}.tar`), cwd: folder, portable }, ['cifar-10-batches-bin']);
  return Promise.all([true, false].map((portable) => readFile(join(folder, `${portable}.tar`))));
}

const tarWords = [
  'ustar\x0000',
  '../',
  '/etc/passwd',
  '1',
  '2',
  'x',
  'g',
  'L',
  'K',
  '\x80\x00\x00\x00\xff\xff',
  '77777777777',
  '30 path=../../x\n',
];

/** Sets the checksums of headers right, so that changed headers are read. */
function withHeaderChecksums(tar: Uint8Array): Buffer {
  const copy = Buffer.from(tar);
  for (let at = 0; at + 512 <= copy.length; at += 512) {
    if (copy.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    copy.fill(0x20, at + 148, at + 156);
    const sum = copy.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
  }
  return copy;
}

/** Archives: nothing but the wanted files may appear, and only in the folder that was named. */
function archiveReader(
  name: string,
  inputs: number,
  form: (tar: Uint8Array) => Uint8Array,
  packFirst: boolean,
): Reader {
  const folder = scratchFolder();
  const into = join(folder, 'into');
  const archive = join(folder, 'archive.tar');
  return {
    name,
    inputs,
    async input() {
      const seeds = await tarFiles();
      if (packFirst) return mutated(seeds.map((seed) => gzipSync(seed)));
      return mutated(seeds, tarWords).map(form);
    },
    async read(bytes: Uint8Array) {
      rmSync(into, { recursive: true, force: true, maxRetries: 5 });
      mkdirSync(into);
      await writeFile(archive, bytes);
      const failed = await extractFiles(archive, wanted, into).then(
        () => undefined,
        (error: unknown) => error,
      );
      const strange = [...readdirSync(into).filter((file) => !wanted.has(file)), ...readdirSync(folder).slice(2)];
      if (strange.length > 0) throw new Error(`wrote ${strange.join()}`);
      if (failed !== undefined) throw failed;
    },
  };
}

export const dataReaders: readonly Reader[] = [
  archiveReader('tar archive', 5000, withHeaderChecksums, false),
  archiveReader('tar archive, packed anew', 2000, (tar) => gzipSync(withHeaderChecksums(tar), { level: 1 }), false),
  archiveReader('tar.gz archive', 2000, (packed) => packed, true),
  {
    name: 'CIFAR-10 records',
    inputs: 5000,
    input: () =>
      fc.tuple(
        fc.nat(2),
        mutated([records]),
        mutatedText([
          '{"dataset":"cifar10","source":"npm","verified":"2026","files":{"test_batch.bin":{"bytes":6146,"modifiedMs":1,"sha256":""}}}',
        ]),
      ),
    read: (() => {
      const root = scratchFolder();
      return async ([which, bytes, description]: [number, Uint8Array, string]) => {
        const folder = join(root, 'cifar10', 'cifar-10-batches-bin');
        await mkdir(folder, { recursive: true });
        for (const [i, { name }] of layout.files.entries())
          await writeFile(join(folder, name), i === which ? bytes : records);
        await writeFile(join(root, 'cifar10', 'dataset.json'), description);
        const changed = which < 2 && !records.every((byte, i) => bytes[i] === byte && bytes.length === records.length);
        const { images } = await loadRecords(root, 'train', layout).then((set) => ({ images: set.count }));
        const test = await loadRecords(root, 'test', layout);
        if (changed) throw new Error('changed bytes were taken');
        if (images !== 2 || test.count !== 2) throw new Error('another number of images');
        const problems = await verifyRecords(root, layout).catch((error: InputError) => error.problems);
        if (!Array.isArray(problems)) throw new Error('two images of one class are no CIFAR-10');
      };
    })(),
  },
  {
    name: 'CIFAR-10 sheets',
    inputs: 5000,
    async input() {
      const sheet = sharp(records.subarray(2), { raw: { width: 1024, height: 2, channels: 3 } });
      const [plain, interlaced] = [
        await sheet.clone().png().toBuffer(),
        await sheet.png({ progressive: true }).toBuffer(),
      ];
      const words = ['IHDR', 'IDAT', 'IEND', 'PLTE', 'tRNS', 'acTL', 'zTXt', 'iCCP', '\x10', '\x00\x00\x04\x00'];
      const labels = fc.oneof(fc.constant('[1,2]'), mutatedText(['[1,2]', '[9,0]']));
      return fc.tuple(mutated([plain, interlaced], words).map(withRightChecksums), labels);
    },
    read: (() => {
      const folder = scratchFolder();
      return async ([sheet, labels]: [Uint8Array, string]) => {
        for (const name of ['data_batch_1.png', 'test_batch.png']) await writeFile(join(folder, name), sheet);
        for (const name of ['train_lables.json', 'test_lables.json']) await writeFile(join(folder, name), labels);
        await convertForms([folder], folder, layout, () => {});
      };
    })(),
  },
  {
    name: 'ImageNet, meta.mat',
    inputs: 8000,
    async input() {
      const mat = await readFile(new URL('../../fixtures/imagenet/meta.mat', import.meta.url));
      return mutated([mat], ['\x0e\x00\x00\x00', '\x0f\x00\x00\x00', '\x05\x00\x04\x00', 'synsets', 'ILSVRC2012_ID']);
    },
    read: (bytes: Uint8Array) => readMat(Buffer.from(bytes), new Budget('meta.mat', bytes.length, 'another')),
    refuses: (error) => error instanceof RangeError,
  },
  {
    name: 'ImageNet, ground truth',
    inputs: 8000,
    input: () =>
      fc.tuple(
        fc.constantFrom('val.txt', 'LOC_val_solution.csv', 'ILSVRC2012_validation_ground_truth.txt'),
        mutatedText(
          [
            'ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 970\n',
            'ImageId,PredictionString\nILSVRC2012_val_00000001,n02437136 12 34 56 78 \n',
            '490\n361\n171\n',
          ],
          ['\n', ' ', ',', 'n01440764', '\r', '__proto__', '\t'.repeat(50), '_'.repeat(5000), '/'.repeat(5000)],
        ),
      ),
    read: (() => {
      const folder = scratchFolder();
      return async ([name, text]: [string, string]) => {
        rmSync(join(folder, 'val'), { recursive: true, force: true });
        mkdirSync(join(folder, 'val'));
        await writeFile(join(folder, 'val', name), text);
        await writeFile(
          join(folder, 'val', 'meta.mat'),
          await readFile(new URL('../../fixtures/imagenet/meta.mat', import.meta.url)),
        );
        findGroundTruths([join(folder, 'val')]);
      };
    })(),
  },
  {
    name: 'ImageNet, stored list',
    inputs: 8000,
    async input() {
      const path = join(scratchFolder(), 'train.list');
      const files = ['a/1.JPEG', 'a/2.JPEG', 'b/ü 3.JPEG'].map((file, i) => ({
        path: file,
        label: i % 2,
        bytes: 10 + i,
      }));
      await writeList(path, FileList.of('/data/train', files, 0), [['a', 12.5]]);
      return mutated([await readFile(path)], ['"count":', '\n', '{', '0 10 ../../etc/passwd\n', '"directory":null']);
    },
    read: (() => {
      const path = join(scratchFolder(), 'train.list');
      return async (bytes: Uint8Array) => {
        await writeFile(path, bytes);
        const found = await readList(path);
        if (found === undefined) return;
        const { list, folders } = found;
        const labelled = [...list.files()].every(
          (file) => Number.isInteger(file.label) && typeof file.path === 'string',
        );
        const dated = folders.every(
          ([folder, modifiedMs]) => typeof folder === 'string' && typeof modifiedMs === 'number',
        );
        if (!labelled || !dated || list.count !== 3) throw new Error('a damaged list was taken');
      };
    })(),
  },
];
