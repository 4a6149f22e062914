import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { InputError, messageOf } from '../../errors.js';
import { Budget, wholeNumber } from '../../json.js';
import { PickleGlobal, type PickleValue, Rebuilt, readPickle } from '../../pickle/reader.js';
import { exists, readJson, readTextIfThere } from '../../store/files.js';
import { readInput } from '../../store/input.js';
import type { PublishedSplit } from '../dataset.js';
import { withoutExtras } from '../image-folder/decode.js';
import { foldersIn, imagesIn, isFolder } from '../image-folder/listing.js';
import { cifarShape, countOf, filesOf, imageBytes, type RecordFile, type RecordLayout, shapeOf } from './layout.js';

/** An image's labels as they lie in its record, and its pixels (channels, height, width). */
export type Labelled = readonly [labels: readonly number[], pixels: Uint8Array];

/** A form in which a split may be published, other than records. */
export interface Form {
  readonly name: string;
  isFor(layout: RecordLayout): boolean;
  /** The split's files in a folder; undefined if it is not there in this form. */
  find(folder: string, split: PublishedSplit, layout: RecordLayout): Promise<readonly string[] | undefined>;
  images(paths: readonly string[], split: PublishedSplit, layout: RecordLayout): AsyncIterable<Labelled>;
}

/** Whether the images have CIFAR's shape. */
const isColour = ({ shape = cifarShape }: RecordLayout): boolean => shape === cifarShape;

/** Paths of these files in a folder; undefined if one is missing. */
export async function allIn(folder: string, names: readonly string[]): Promise<string[] | undefined> {
  const paths = names.map((name) => join(folder, name));
  const there = await Promise.all(paths.map(async (path) => (await exists(path)) && !isFolder(path)));
  return there.every(Boolean) ? paths : undefined;
}

/** Label files of the npm package (its own spelling): JSON lists of a split's labels. */
export const labelFiles: Readonly<Record<PublishedSplit, string>> = {
  train: 'train_lables.json',
  test: 'test_lables.json',
};

/** The npm package's PNG sheet of a record file: an image per row, its 32 x 32 pixels in row-major order. */
export const sheetOf = ({ name }: RecordFile): string => name.replace(/\.bin$/, '.png');

const sheets: Form = {
  name: 'PNG sheets',
  isFor: ({ npm }) => npm !== undefined,
  find: (folder, split, layout) => allIn(folder, [labelFiles[split], ...filesOf(layout, split).map(sheetOf)]),
  async *images([labelFile = '', ...paths], split, layout) {
    const labels = await readLabels(labelFile, countOf(layout, split), layout.classes.length);
    let next = 0;
    for (const [file, path] of paths.entries()) {
      const { images } = filesOf(layout, split)[file]!;
      const sheet = await decodePng(await readInput(path), path, 32 * 32, images);
      for (let i = 0; i < images; i++) yield [[labels[next++]!], planesOf(sheet, i * imageBytes(layout))];
    }
  },
};

async function readLabels(path: string, count: number, classes: number): Promise<readonly number[]> {
  const found = await readJson(path);
  const isLabel = (label: unknown): label is number =>
    typeof label === 'number' && Number.isInteger(label) && label >= 0 && label < classes;
  if (Array.isArray(found) && found.length === count && found.every(isLabel)) return found;
  throw new InputError(`${path}: not a list of ${count} labels, each 0 to ${classes - 1}`);
}

/** The pickle of a record file's images, in the archives for Python. */
export const pickleOf = ({ name }: RecordFile): string => name.replace(/\.bin$/, '');

const pickles: Form = {
  name: 'batches for Python',
  isFor: isColour,
  find: (folder, split, layout) => allIn(folder, filesOf(layout, split).map(pickleOf)),
  async *images(paths, _split, layout) {
    for (const path of paths) yield* imagesOfPickle(await readInput(path), path, layout);
  },
};

/** NumPy's array of bytes, or its type, which is ignored. The state is (version, shape, type, Fortran's order, bytes). */
class NumpyArray extends Rebuilt {
  bytes: Uint8Array | undefined;
  override build(state: PickleValue): void {
    const [, , , fortran, data] = Array.isArray(state) ? state : [];
    if (fortran !== false) return;
    this.bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data instanceof Uint8Array ? data : undefined;
  }
  override describe(): string {
    return 'an array of NumPy';
  }
}

function findArray(name: string): PickleGlobal | undefined {
  if (/^numpy\.(?:_?core\.multiarray\._reconstruct|ndarray|dtype)$/.test(name)) {
    return new PickleGlobal(name, () => new NumpyArray());
  }
  if (name !== '_codecs.encode') return undefined;
  return new PickleGlobal(name, ([text]) => Buffer.from(String(text), 'latin1'));
}

/** Images of a dict {data: (n, 3072) bytes, labels, or coarse_labels and fine_labels: n numbers}, as Krizhevsky pickled it. */
function imagesOfPickle(bytes: Uint8Array, path: string, layout: RecordLayout): Labelled[] {
  const budget = new Budget(path, bytes.length, 'a batch of the archive for Python');
  const { value } = readPickle(bytes, 0, { budget, findGlobal: findArray });
  const textOf = (key: PickleValue) => (key instanceof Uint8Array ? Buffer.from(key).toString('latin1') : String(key));
  const byName = new Map(value instanceof Map ? [...value].map(([key, item]) => [textOf(key), item]) : []);
  const array = byName.get('data');
  const data = array instanceof NumpyArray ? array.bytes : undefined;
  const names = layout.labelBytes === 1 ? ['labels'] : ['coarse_labels', 'fine_labels'];
  const labels = names.map((name) => byName.get(name));
  const size = imageBytes(layout);
  const count = (data?.length ?? 0) / size;
  const isWhole = labels.every((list): list is PickleValue[] => Array.isArray(list) && list.length === count);
  if (data === undefined || count === 0 || !isWhole) {
    throw new InputError(`${path}: no batch of images; valid: a dict of data and ${names.join(', ')}`);
  }
  return Array.from({ length: count }, (_, i): Labelled => {
    return [labels.map((list) => Number(list[i])), data.subarray(i * size, (i + 1) * size)];
  });
}

/** Hugging Face's Parquet: a row per image, a PNG in `img`. */
const parquet: Form = {
  name: 'Parquet',
  isFor: isColour,
  async find(folder, split) {
    const names = (await readdir(folder)).filter((name) => new RegExp(`^${split}[-.].*\\.?parquet$`).test(name)).sort();
    return names.length > 0 ? names.map((name) => join(folder, name)) : undefined;
  },
  async *images(paths, _split, layout) {
    const { parquetReadObjects } = await import('hyparquet');
    for (const path of paths) {
      const { buffer } = new Uint8Array(await readInput(path));
      const { rows, image, labels } = await parquetColumns(buffer, path, layout);
      for (let rowStart = 0; rowStart < rows; rowStart += 1000) {
        const part = { file: buffer, columns: [image, ...labels], rowStart, rowEnd: Math.min(rows, rowStart + 1000) };
        const found = await parquetReadObjects({ ...part, utf8: false }).catch(notParquet(path, layout));
        const pixels = await Promise.all(found.map((row) => decodeCifar(bytesOf(row[image]), path)));
        yield* found.map((row, i): Labelled => [labels.map((column) => Number(row[column])), pixels[i]!]);
      }
    }
  },
};

/** Number of rows, name of the column of images, and of those of labels in the order of a record. */
async function parquetColumns(file: ArrayBuffer, path: string, layout: RecordLayout) {
  const labels = layout.labelBytes === 1 ? ['label'] : ['coarse_label', 'fine_label'];
  try {
    const { num_rows, schema } = (await import('hyparquet')).parquetMetadata(file);
    const names = schema.map(({ name }) => name);
    const image = names.find((name) => name === 'img' || name === 'image');
    if (image !== undefined && labels.every((name) => names.includes(name))) {
      return { rows: Number(num_rows), image, labels };
    }
    throw new Error(`columns ${names.join(', ')}; valid: img, ${labels.join(', ')}`);
  } catch (error) {
    return notParquet(path, layout)(error);
  }
}

const notParquet =
  (path: string, { title }: RecordLayout) =>
  (error: unknown): never => {
    const reason = messageOf(error).split('\n')[0];
    throw new InputError(`${path}: not a Parquet file of ${title}, plain or packed by snappy: ${reason}`, {
      cause: error,
    });
  };

/** An image's cell: its bytes, or a struct of bytes and a path. */
function bytesOf(cell: unknown): Uint8Array {
  const bytes = cell instanceof Uint8Array ? cell : (cell as { bytes?: unknown } | undefined)?.bytes;
  return bytes instanceof Uint8Array ? bytes : new Uint8Array();
}

/** PNG files decoded at once. */
const AT_ONCE = 100;

/** PNG files numbered in the official order; the class is in the name (`7_horse.png`), the folder or a table. */
const pictures: Form = {
  name: 'PNG files',
  isFor: (layout) => isColour(layout) && layout.labelBytes === 1,
  async find(folder, split) {
    const directory = foldersIn(folder).find((name) => name.toLowerCase() === split);
    if (directory === undefined) return undefined;
    const root = join(folder, directory);
    const folders = [root, ...foldersIn(root).map((name) => join(root, name))];
    const paths = folders.flatMap((one) => imagesIn(one).map((image) => join(one, image)));
    return paths.length > 0 && paths.every((path) => numberOf(path) !== undefined) ? paths : undefined;
  },
  async *images(paths, split, layout) {
    const table = await labelsBeside(paths[0]!, split);
    const ordered = [...paths].sort((a, b) => numberOf(a)! - numberOf(b)!);
    for (let start = 0; start < ordered.length; start += AT_ONCE) {
      const some = ordered.slice(start, start + AT_ONCE);
      const images = await Promise.all(some.map(async (path) => decodeCifar(await readInput(path), path)));
      yield* some.map((path, i): Labelled => [[labelOf(path, layout, table)], images[i]!]);
    }
  },
};

/** The number at the beginning of a file's name. */
const numberOf = (path: string): number | undefined => wholeNumber(/^\d+/.exec(basename(path))?.[0] ?? '');

function labelOf(path: string, { classes }: RecordLayout, table: ReadonlyMap<string, string>): number {
  const stem = basename(path).replace(/\.\w+$/, '');
  const name = table.get(stem) ?? /^\d+_(.+)$/.exec(stem)?.[1] ?? basename(dirname(path));
  const label = classes.indexOf(name);
  if (label >= 0) return label;
  throw new InputError(
    `${path}: class unknown; valid: trainLabels.csv beside its folder, or the class in its name or folder`,
  );
}

/** Classes by file name, from Kaggle's `trainLabels.csv` (`id,label`) beside the images or their folder. */
async function labelsBeside(path: string, split: PublishedSplit): Promise<ReadonlyMap<string, string>> {
  for (const folder of [dirname(path), dirname(dirname(path))]) {
    for (const name of [`${split}Labels.csv`, `${split}_labels.csv`, `${split}.csv`]) {
      const text = await readTextIfThere(join(folder, name));
      if (text === undefined) continue;
      return new Map((parse(text) as string[][]).map(([id = '', label = '']) => [id.replace(/\.\w+$/, ''), label]));
    }
  }
  return new Map();
}

/** MNIST's idx files: one of images and one of labels per split, each with a header of big-endian numbers. */
const idx: Form = {
  name: 'idx files',
  isFor: (layout) => shapeOf(layout).channels === 1,
  async find(folder, split) {
    const names = await readdir(folder);
    const start = split === 'train' ? 'train' : '(?:t10k|test)';
    const found = ['images[-.]idx3', 'labels[-.]idx1'].flatMap((kind) => {
      const name = names.find((one) => new RegExp(`^${start}-${kind}-ubyte(?:\\.gz)?$`).test(one));
      return name === undefined ? [] : [join(folder, name)];
    });
    return found.length === 2 ? found : undefined;
  },
  async *images([images = '', labels = ''], split, layout) {
    const { height, width } = shapeOf(layout);
    const count = countOf(layout, split);
    const pixels = await idxData(images, [count, height, width]);
    const classes = await idxData(labels, [count]);
    const size = imageBytes(layout);
    for (let i = 0; i < count; i++) yield [[classes[i]!], pixels.subarray(i * size, (i + 1) * size)];
  },
};

/** Bytes of an idx file: 0, 0, 8 for bytes, the number of axes, each axis as 32 bits, then the elements. */
async function idxData(path: string, shape: readonly number[]): Promise<Uint8Array> {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.set([0, 0, 8, shape.length]);
  for (const [axis, size] of shape.entries()) head.writeUInt32BE(size, 4 + 4 * axis);
  const bytes = shape.reduce((product, size) => product * size, 1) + head.length;
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

/** A PNG of 32 x 32 pixels. @returns (3, 32, 32) bytes */
const decodeCifar = async (file: Uint8Array, path: string): Promise<Uint8Array> =>
  planesOf(await decodePng(file, path, 32, 32));

/** @returns (height, width, 3) bytes */
async function decodePng(file: Uint8Array, path: string, width: number, height: number): Promise<Uint8Array> {
  // sharp throws at once if a file is empty.
  const decoded = async () => {
    const image = sharp(withoutExtras(file), { limitInputPixels: width * height })
      .removeAlpha()
      .toColourspace('srgb');
    return image.raw().toBuffer({ resolveWithObject: true });
  };
  const { data, info } = await decoded().catch((error: unknown) => {
    throw new InputError(`${path}: cannot be read as a PNG: ${messageOf(error)}`, { cause: error });
  });
  if (info.width === width && info.height === height && info.channels === 3) return data;
  throw new InputError(
    `${path}: ${info.width} x ${info.height} pixels of ${info.channels} colours; valid: ${width} x ${height} of 3`,
  );
}

/** (3, 32, 32) bytes from pixels whose colours lie together. @param start of the image in `rgb` */
function planesOf(rgb: Uint8Array, start = 0): Uint8Array {
  const pixels = 32 * 32;
  return Uint8Array.from({ length: 3 * pixels }, (_, i) => rgb[start + (i % pixels) * 3 + Math.floor(i / pixels)]!);
}

/** Every form; the first that fits is taken. */
export const forms: readonly Form[] = [sheets, pickles, parquet, pictures, idx];
