import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import sharp from 'sharp';
import { create } from 'tar';
import { fetchRecords } from '../../src/data/records/fetch.js';
import type { RecordLayout } from '../../src/data/records/layout.js';
import { cifar10Layout, cifar100Layout } from '../../src/data/registry.js';
import { int, text } from '../checkpoints/pickles.js';
import { fetchOptions, hash, rejection } from './smallCifar10.js';

/** The images of fixtures/forms/generate.py: planes of red, green and blue. */
const pixelsOf = (i: number): Uint8Array =>
  Uint8Array.from({ length: 3072 }, (_, p) => (97 * i + 31 * p + Math.floor(p / 9)) % 256);
const recordsOf = (images: readonly number[], labels: (i: number) => number[]): Buffer =>
  Buffer.concat(images.flatMap((i) => [Uint8Array.from(labels(i)), pixelsOf(i)]));

const parts = { 'data_batch_1.bin': [0, 1], 'data_batch_2.bin': [2, 3], 'test_batch.bin': [4, 5] };
const layoutOf = (labels: (i: number) => number[]): RecordLayout => ({
  ...(labels(0).length === 1 ? cifar10Layout : cifar100Layout),
  classes: ['a', 'b'],
  files: Object.entries(parts).map(([name, images]) => ({
    name,
    split: name.startsWith('test') ? 'test' : 'train',
    images: images.length,
    sha256: hash('sha256', recordsOf(images, labels)),
  })),
});

/** A dict as Krizhevsky pickled it; with Python 2 the pixels are a text of bytes, with Python 3 encoded text. */
function pickled(images: readonly number[], labels: Record<string, (i: number) => number>, python: 2 | 3): Buffer {
  const bytes = Buffer.concat(images.map(pixelsOf)).toString('latin1');
  const utf8 = Buffer.from(bytes, 'utf8').toString('latin1');
  const data =
    python === 2
      ? `T${int(bytes.length).slice(1)}${bytes}`
      : `c_codecs\nencode\n(X${int(utf8.length).slice(1)}${utf8}${text('latin1')}tR`;
  const dtype = `cnumpy\ndtype\n(${text('u1')}K\x00K\x01tR(K\x03${text('|')}NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb`;
  const array = `cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t${text('b')}tR(K\x01(${int(images.length)}${int(3072)}t${dtype}\x89${data}tb`;
  const lists = Object.entries(labels).map(
    ([name, of]) => `${text(name)}](${images.map((i) => int(of(i))).join('')}es`,
  );
  return Buffer.from(`\x80\x02}${text('data')}${array}s${lists.join('')}.`, 'latin1');
}

describe('CIFAR in the forms that people have', () => {
  const layout = layoutOf((i) => [i % 2]);
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-forms-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function expectAllFrom(from: string, expected = layout, labels = (i: number) => [i % 2]): Promise<void> {
    const root = join(folder, 'cache');
    const report = await fetchRecords(fetchOptions(root, from), expected);
    for (const [name, images] of Object.entries(parts)) {
      const found = await readFile(join(report.directory, expected.folder, name));
      expect(found.equals(recordsOf(images, labels)), name).to.equal(true);
    }
  }

  async function writePickles(into: string, python: 2 | 3): Promise<void> {
    await mkdir(into, { recursive: true });
    for (const [name, images] of Object.entries(parts)) {
      await writeFile(join(into, name.replace('.bin', '')), pickled(images, { labels: (i) => i % 2 }, python));
    }
  }

  for (const python of [2, 3] as const) {
    it(`batches of Python ${python}, two folders down and in an archive`, async () => {
      await writePickles(join(folder, 'had', 'deep', 'cifar-10-batches-py'), python);
      await expectAllFrom(join(folder, 'had'));
      await rm(join(folder, 'cache'), { recursive: true });
      const archive = join(folder, 'cifar-10-batches-py.tar.gz');
      await create({ file: archive, gzip: { level: 0 }, cwd: join(folder, 'had', 'deep') }, ['cifar-10-batches-py']);
      await rm(join(folder, 'had'), { recursive: true });
      await expectAllFrom(folder);
    });
  }

  it("CIFAR-100's: both labels", async () => {
    const labels = (i: number) => [i % 3, i % 2];
    for (const [name, images] of Object.entries(parts)) {
      const lists = { fine_labels: (i: number) => i % 2, coarse_labels: (i: number) => i % 3 };
      await writeFile(join(folder, name.replace('.bin', '')), pickled(images, lists, 2));
    }
    await expectAllFrom(folder, layoutOf(labels), labels);
  });

  it("Hugging Face's Parquet, whose training images come in another order", () =>
    expectAllFrom(fileURLToPath(new URL('../fixtures/forms/parquet', import.meta.url))));

  async function writePictures(name: (i: number) => string, images: readonly number[]): Promise<void> {
    for (const i of images) {
      const planes = pixelsOf(i);
      const pixels = planes.map((_, at) => planes[(at % 3) * 1024 + Math.floor(at / 3)]!);
      const path = join(folder, 'pictures', name(i));
      await mkdir(join(path, '..'), { recursive: true });
      await sharp(pixels, { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toFile(path);
    }
  }

  it("PNG files with Kaggle's trainLabels.csv, and with their class in name or folder", async () => {
    await writePictures((i) => `train/${i + 1}.png`, [0, 1, 2, 3]);
    await writePictures((i) => `test/${layout.classes[i % 2]}/${i}.png`, [4, 5]);
    await writeFile(join(folder, 'pictures', 'trainLabels.csv'), 'id,label\n3,a\n1,a\n2,b\n4,b\n');
    await expectAllFrom(folder);
    await rm(join(folder, 'cache'), { recursive: true });
    await rm(join(folder, 'pictures'), { recursive: true });
    await writePictures((i) => `${i < 4 ? 'train' : 'test'}/${i}_${layout.classes[i % 2]}.png`, [0, 1, 2, 3, 4, 5]);
    await expectAllFrom(folder);
  });

  it("Fashion-MNIST's idx files, packed or not", async () => {
    const grey = { channels: 1, height: 28, width: 28 };
    const files = { train: [0, 1, 2, 3], test: [4, 5] };
    const greyRecords = (images: readonly number[]) =>
      Buffer.concat(images.flatMap((i) => [Uint8Array.of(i % 2), pixelsOf(i).subarray(0, 784)]));
    const fashion: RecordLayout = {
      ...layout,
      shape: grey,
      files: (['train', 'test'] as const).map((split) => {
        const sha256 = hash('sha256', greyRecords(files[split]));
        return { name: `${split}.bin`, split, images: files[split].length, sha256 };
      }),
    };
    for (const pack of [(data: Buffer) => data, gzipSync]) {
      await mkdir(join(folder, 'idx'));
      for (const [name, images] of Object.entries({ train: files.train, t10k: files.test })) {
        const end = pack === gzipSync ? '.gz' : '';
        const head = Buffer.from([0, 0, 8, 3, 0, 0, 0, images.length, 0, 0, 0, 28, 0, 0, 0, 28]);
        const pixels = Buffer.concat([head, ...images.map((i) => pixelsOf(i).subarray(0, 784))]);
        await writeFile(join(folder, 'idx', `${name}-images-idx3-ubyte${end}`), pack(pixels));
        const labels = Buffer.from([0, 0, 8, 1, 0, 0, 0, images.length, ...images.map((i) => i % 2)]);
        await writeFile(join(folder, 'idx', `${name}-labels-idx1-ubyte${end}`), pack(labels));
      }
      const report = await fetchRecords(fetchOptions(join(folder, 'cache'), join(folder, 'idx')), fashion);
      const found = await readFile(join(report.directory, fashion.folder, 'test.bin'));
      expect(found.equals(greyRecords(files.test))).to.equal(true);
      await rm(join(folder, 'idx'), { recursive: true });
      await rm(join(folder, 'cache'), { recursive: true });
    }
    await writeFile(join(folder, 'train-images-idx3-ubyte'), 'short');
    for (const name of ['train-labels-idx1-ubyte', 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'])
      await writeFile(join(folder, name), '');
    const error = await rejection(fetchRecords(fetchOptions(join(folder, 'cache'), folder), fashion));
    expect(error.message).to.match(/train-images-idx3-ubyte: not an idx file of 4 x 28 x 28 bytes/);
  });

  it('what is missing, damaged or something else is said', async () => {
    const refused = async () =>
      (await rejection(fetchRecords(fetchOptions(join(folder, 'cache'), folder), layout))).message;
    await writePictures((i) => `train/${i + 1}.png`, [0, 1, 2, 3]);
    expect(await refused()).to.match(/PNG files of the train images only; the test images are missing/);
    await writePictures((i) => `test/${i}.png`, [4, 5]);
    expect(await refused()).to.match(/1\.png: class unknown; valid: trainLabels\.csv/);
    await writeFile(join(folder, 'pictures/train/1.png'), '');
    await writeFile(join(folder, 'pictures/trainLabels.csv'), 'id,label\n1,a\n2,b\n3,a\n4,b\n');
    expect(await refused()).to.match(/train\/1\.png: cannot be read as a PNG: .*empty$/);
    await rm(join(folder, 'pictures'), { recursive: true });
    for (const name of ['train', 'test'].map((split) => `${split}-00000-of-00001.parquet`)) {
      const bytes = await readFile(
        fileURLToPath(new URL(`../fixtures/forms/parquet/plain_text/${name}`, import.meta.url)),
      );
      await writeFile(join(folder, name), bytes.fill(0xff, 4, 2000)); // pages; the footer stays
    }
    expect(await refused()).to.match(/parquet: not a Parquet file of CIFAR-10, plain or packed by snappy: .+/);
    await writePickles(folder, 2);
    const batch = await readFile(join(folder, 'data_batch_2'));
    batch[batch.length - 100] = batch[batch.length - 100]! ^ 1;
    await writeFile(join(folder, 'data_batch_2'), batch);
    expect(await refused()).to.match(/data_batch_2|sha256/);
    await writeFile(join(folder, 'data_batch_1'), Buffer.from(`\x80\x02cos\nsystem\n(${text('ls')}tR.`, 'latin1'));
    expect(await refused()).to.match(/refused: asks for Python's "os\.system"/);
    await writeFile(join(folder, 'data_batch_1'), Buffer.from('\x80\x02}.', 'latin1'));
    expect(await refused()).to.match(/data_batch_1: no batch of images; valid: a dict of data and labels/);
  });
});
