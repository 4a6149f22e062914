import { Budget } from '../../budget.js';
import { InputError } from '../../errors.js';
import { PickleGlobal, type PickleValue, Rebuilt, readPickle } from '../../pickle/reader.js';
import type { PublishedSplit } from '../dataset.js';
import { imageBytes, type RecordLayout, recordBytes } from './layout.js';

/** The split of a dataset as somebody has it: found in a folder, it gives its records in blocks of some order. */
export interface Form {
  readonly name: string;
  readonly find: (
    folder: string,
    split: PublishedSplit,
    layout: RecordLayout,
  ) => Promise<readonly string[] | undefined>;
  readonly blocks: (
    found: readonly string[],
    split: PublishedSplit,
    layout: RecordLayout,
  ) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Records of a record file, filled one by one. */
export class BlockOfRecords {
  readonly #all: Uint8Array;
  #end = 0;

  constructor(
    count: number,
    private readonly layout: RecordLayout,
  ) {
    this.#all = new Uint8Array(count * recordBytes(layout));
  }

  get isFull(): boolean {
    return this.#end === this.#all.length;
  }

  get records(): Uint8Array {
    return this.#all.subarray(0, this.#end);
  }

  add(labels: readonly number[], pixels: Uint8Array): void {
    if (this.isFull || labels.length !== this.layout.labelBytes) throw new RangeError('a record too many');
    this.#all.set(labels, this.#end);
    this.#all.set(pixels, this.#end + labels.length);
    this.#end += labels.length + pixels.length;
  }
}

/** Planes of red, green and blue, (3, 32, 32), of pixels whose colours lie together. @param start of the image in `rgb` */
export function planesOf(rgb: Uint8Array, start = 0): Uint8Array {
  const pixels = imageBytes / 3;
  return Uint8Array.from({ length: imageBytes }, (_, i) => rgb[start + (i % pixels) * 3 + Math.floor(i / pixels)]!);
}

/** NumPy's array of bytes; its state is (version, shape, type, Fortran's order, bytes). */
class Pixels extends Rebuilt {
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

class Unused extends Rebuilt {
  override build(): void {}
  override describe(): string {
    return 'plain data';
  }
}

function findArray(name: string): PickleGlobal | undefined {
  if (/^numpy\.(?:_?core\.multiarray\._reconstruct)$/.test(name)) return new PickleGlobal(name, () => new Pixels());
  if (name === 'numpy.ndarray' || name === 'numpy.dtype') return new PickleGlobal(name, () => new Unused());
  if (name !== '_codecs.encode') return undefined;
  return new PickleGlobal(name, ([text]) => Buffer.from(String(text), 'latin1'));
}

/** Records of a dict {data: (n, 3072) bytes, labels, or coarse_labels and fine_labels: n numbers}, as Krizhevsky pickled it. */
export function recordsOfPickle(bytes: Uint8Array, path: string, layout: RecordLayout): Uint8Array {
  const budget = new Budget(path, bytes.length, 'a batch of the archive for Python');
  const { value } = readPickle(bytes, 0, { budget, findGlobal: findArray });
  const byName = new Map(value instanceof Map ? [...value].map(([key, item]) => [textOf(key), item]) : []);
  const array = byName.get('data');
  const data = array instanceof Pixels ? array.bytes : undefined;
  const names = layout.labelBytes === 1 ? ['labels'] : ['coarse_labels', 'fine_labels'];
  const labels = names.map((name) => byName.get(name));
  const count = (data?.length ?? 0) / imageBytes;
  const isWhole = labels.every((list): list is PickleValue[] => Array.isArray(list) && list.length === count);
  if (data === undefined || count === 0 || !isWhole) {
    throw new InputError(`${path}: no batch of images; valid: a dict of data and ${names.join(', ')}`);
  }
  const block = new BlockOfRecords(count, layout);
  for (let i = 0; i < count; i++) {
    block.add(
      labels.map((list) => Number(list[i])),
      data.subarray(i * imageBytes, (i + 1) * imageBytes),
    );
  }
  return block.records;
}

const textOf = (key: PickleValue): string =>
  key instanceof Uint8Array ? Buffer.from(key).toString('latin1') : String(key);
