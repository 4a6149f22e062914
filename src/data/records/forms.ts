import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { InputError, messageOf } from '../../errors.js';
import { wholeNumber } from '../../json.js';
import { exists, readTextIfThere, sha256, writeFileAtomic } from '../../store/files.js';
import { readInput } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import { foldersIn, imagesIn, isFolder } from '../image-folder/listing.js';
import { withoutExtras } from '../png.js';
import { filesOf, type RecordFile, type RecordLayout, recordBytes, shapeOf } from './layout.js';
import { sheets } from './npm.js';
import { BlockOfRecords, type Form, planesOf, recordsOfPickle } from './python-batch.js';

/** Name of the pickle that holds the images of a record file, in the archives for Python. */
export const pickleOf = ({ name }: RecordFile): string => name.replace(/\.bin$/, '');

const pickles: Form = {
  name: 'batches for Python',
  async find(folder, split, layout) {
    if (layout.shape !== undefined) return undefined;
    const paths = filesOf(layout, split).map((file) => join(folder, pickleOf(file)));
    const there = await Promise.all(paths.map(async (path) => (await exists(path)) && !isFolder(path)));
    return there.every(Boolean) ? paths : undefined;
  },
  async *blocks(paths, _split, layout) {
    for (const path of paths) yield recordsOfPickle(await readInput(path), path, layout);
  },
};

/** Pictures that are decoded at once. */
const AT_ONCE = 100;

/** Hugging Face's: a row for each image, PNG in `img`. */
const parquet: Form = {
  name: 'Parquet',
  async find(folder, split, layout) {
    if (layout.shape !== undefined) return undefined;
    const names = (await readdir(folder)).filter((name) => new RegExp(`^${split}[-.].*\\.?parquet$`).test(name)).sort();
    return names.length > 0 ? names.map((name) => join(folder, name)) : undefined;
  },
  async *blocks(paths, split, layout) {
    const { parquetMetadata, parquetReadObjects } = await import('hyparquet');
    const size = filesOf(layout, split)[0]!.images;
    let block = new BlockOfRecords(size, layout);
    for (const path of paths) {
      const { buffer } = new Uint8Array(await readInput(path));
      const [rows, columns] = columnsOf(() => parquetMetadata(buffer), path, layout);
      for (let start = 0; start < rows; start += 1000) {
        const [rowStart, rowEnd] = [start, Math.min(rows, start + 1000)];
        const found = await parquetReadObjects({ file: buffer, columns, rowStart, rowEnd, utf8: false });
        const images = await Promise.all(found.map((row) => pixelsOfPng(bytesOf(row[columns[0]!]), path)));
        for (const [i, pixels] of images.entries()) {
          block.add(
            columns.slice(1).map((column) => Number(found[i]![column])),
            pixels,
          );
          if (!block.isFull) continue;
          yield block.records;
          block = new BlockOfRecords(size, layout);
        }
      }
    }
  },
};

/** PNG files that are numbered in the official order; the class is in the name (`7_horse.png`), the folder or a table. */
const pictures: Form = {
  name: 'PNG files',
  async find(folder, split, layout) {
    const directory = foldersIn(folder).find((name) => name.toLowerCase() === split);
    if (directory === undefined || layout.labelBytes !== 1 || layout.shape !== undefined) return undefined;
    const root = join(folder, directory);
    const paths = ['', ...foldersIn(root)].flatMap((name) =>
      imagesIn(join(root, name)).map((image) => join(root, name, image)),
    );
    return paths.length > 0 && paths.every((path) => numberOf(path) !== undefined) ? paths : undefined;
  },
  async *blocks(paths, split, layout) {
    const table = await labelsBeside(paths[0]!, split);
    const ordered = [...paths].sort((a, b) => numberOf(a)! - numberOf(b)!);
    const size = filesOf(layout, split)[0]!.images;
    for (let start = 0; start < ordered.length; start += size) {
      const block = new BlockOfRecords(size, layout);
      for (let first = start; first < Math.min(start + size, ordered.length); first += AT_ONCE) {
        const some = ordered.slice(first, Math.min(first + AT_ONCE, start + size));
        const images = await Promise.all(some.map(async (path) => pixelsOfPng(await readInput(path), path)));
        for (const [i, path] of some.entries()) block.add([labelOf(path, layout, table)], images[i]!);
      }
      yield block.records;
    }
  },
};

/** MNIST's: a file of images and a file of labels for each split, each with a head of big-endian numbers. */
const idx: Form = {
  name: 'idx files',
  async find(folder, split, layout) {
    if (shapeOf(layout).channels !== 1) return undefined;
    const names = await readdir(folder);
    const start = split === 'train' ? 'train' : '(?:t10k|test)';
    const found = ['images[-.]idx3', 'labels[-.]idx1'].map((kind) =>
      names.find((name) => new RegExp(`^${start}-${kind}-ubyte(?:\\.gz)?$`).test(name)),
    );
    return found.every((name) => name !== undefined) ? found.map((name) => join(folder, name)) : undefined;
  },
  async *blocks([images = '', labels = ''], split, layout) {
    const { images: count } = filesOf(layout, split)[0]!;
    const { height, width } = shapeOf(layout);
    const pixels = await idxData(images, [count, height, width]);
    const classes = await idxData(labels, [count]);
    const block = new BlockOfRecords(count, layout);
    const size = height * width;
    for (let i = 0; i < count; i++) block.add([classes[i]!], pixels.subarray(i * size, (i + 1) * size));
    yield block.records;
  },
};

const forms = [sheets, pickles, parquet, pictures, idx];

/** Bytes of an idx file: 0, 0, 8 for bytes, the number of axes, each axis as 32 bits, then the elements. */
async function idxData(path: string, shape: readonly number[]): Promise<Uint8Array> {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, 8, shape.length]);
  for (const [axis, size] of shape.entries()) head.writeUInt32BE(size, 4 + 4 * axis);
  const bytes = head.length + shape.reduce((product, size) => product * size, 1);
  const given = await readInput(path);
  let file: Buffer = given;
  try {
    if (given[0] === 0x1f && given[1] === 0x8b) file = gunzipSync(given, { maxOutputLength: bytes });
  } catch (error) {
    throw new InputError(`${path}: cannot be inflated: ${messageOf(error)}`, { cause: error });
  }
  if (file.length === bytes && head.equals(file.subarray(0, head.length))) return file.subarray(head.length);
  throw new InputError(`${path}: not an idx file of ${shape.join(' x ')} bytes`);
}

/**
 * Writes the record files from what is in these folders in other forms than records; which form has which split is found for
 * each. A block of images becomes the record file whose hash it has, whatever the order of the blocks.
 *
 * @param onImages called with the number of images done
 * @returns false if neither split is there
 * @throws InputError if one split is missing, or a file is damaged
 */
export async function convertForms(
  folders: readonly string[],
  into: string,
  layout: RecordLayout,
  onImages: (done: number) => void,
): Promise<boolean> {
  const found = await Promise.all((['train', 'test'] as const).map((split) => findForm(folders, split, layout)));
  const missing = found.indexOf(undefined);
  if (found.every((form) => form === undefined)) return false;
  if (missing >= 0) {
    const [there] = found.filter((form) => form !== undefined);
    throw new InputError(
      `${folders[0]}: ${there!.form.name} of the ${there!.split} images only; the ${missing === 0 ? 'train' : 'test'} images are missing`,
    );
  }
  let done = 0;
  for (const { form, paths, split } of found.filter((one) => one !== undefined)) {
    const left = [...filesOf(layout, split)];
    for await (const records of form.blocks(paths, split, layout)) {
      const hash = sha256(records);
      const known = left.findIndex((file) => file.sha256 === hash);
      // What is not known is written all the same: the caller names its file, its size and its hash.
      const [file] = left.splice(Math.max(0, known), 1);
      if (file === undefined) throw new InputError(`${paths[0]}: more than the ${split} images of ${layout.title}`);
      await writeFileAtomic(join(into, file.name), records);
      done += records.length / recordBytes(layout);
      onImages(done);
      if (known < 0) break;
    }
  }
  return true;
}

async function findForm(folders: readonly string[], split: PublishedSplit, layout: RecordLayout) {
  for (const form of forms) {
    for (const folder of folders) {
      const paths = await form.find(folder, split, layout);
      if (paths !== undefined) return { form, paths, split };
    }
  }
  return undefined;
}

type ParquetMetadata = ReturnType<typeof import('hyparquet').parquetMetadata>;

/** Rows of a Parquet file, and its columns: the image, then the labels in the order of a record. */
function columnsOf(
  metadata: () => ParquetMetadata,
  path: string,
  layout: RecordLayout,
): [rows: number, columns: string[]] {
  try {
    const { num_rows, schema } = metadata();
    const names = schema.map(({ name }) => name);
    const image = names.find((name) => name === 'img' || name === 'image');
    const labels = layout.labelBytes === 1 ? ['label'] : ['coarse_label', 'fine_label'];
    if (image !== undefined && labels.every((name) => names.includes(name)))
      return [Number(num_rows), [image, ...labels]];
    throw new Error(`columns ${names.join(', ')}; valid: img, ${labels.join(', ')}`);
  } catch (error) {
    throw new InputError(`${path}: not a Parquet file of ${layout.title}: ${messageOf(error)}`, { cause: error });
  }
}

/** A picture in a row: its bytes, or a struct of bytes and a path. */
function bytesOf(cell: unknown): Uint8Array {
  const bytes = cell instanceof Uint8Array ? cell : (cell as { bytes?: unknown } | undefined)?.bytes;
  return bytes instanceof Uint8Array ? bytes : new Uint8Array();
}

/** @returns (3, 32, 32) bytes */
async function pixelsOfPng(file: Uint8Array, path: string): Promise<Uint8Array> {
  const { data, info } = await sharp(withoutExtras(file), { limitInputPixels: 1024 })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw new InputError(`${path}: cannot be read as a picture: ${messageOf(error)}`, { cause: error });
    });
  if (info.width !== 32 || info.height !== 32 || info.channels !== 3) {
    throw new InputError(
      `${path}: ${info.width} x ${info.height} pixels of ${info.channels} colours; valid: 32 x 32 of 3`,
    );
  }
  return planesOf(data);
}

/** The number at the beginning of a file's name. */
const numberOf = (path: string): number | undefined => wholeNumber(/^\d+/.exec(basename(path))?.[0] ?? '');

function labelOf(path: string, { classes }: RecordLayout, table: ReadonlyMap<string, string>): number {
  const stem = basename(path).replace(/\.\w+$/, '');
  const name = table.get(stem) ?? /^\d+_(.+)$/.exec(stem)?.[1] ?? basename(dirname(path));
  const label = classes.indexOf(name);
  if (label >= 0) return label;
  throw new InputError(
    `${path}: no class known; valid: trainLabels.csv beside its folder, a folder or a name of its class`,
  );
}

/** Classes by name of file, from `trainLabels.csv` (Kaggle's `id,label`) beside the folder of the images. */
async function labelsBeside(path: string, split: PublishedSplit): Promise<ReadonlyMap<string, string>> {
  for (const folder of [dirname(path), dirname(dirname(path))]) {
    for (const name of [`${split}Labels.csv`, `${split}_labels.csv`, `${split}.csv`]) {
      const text = await readTextIfThere(join(folder, name));
      if (text !== undefined) {
        return new Map((parse(text) as string[][]).map(([id = '', label = '']) => [id.replace(/\.\w+$/, ''), label]));
      }
    }
  }
  return new Map();
}
