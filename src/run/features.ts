import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import type { RawTensor } from '../checkpoints/dtypes.js';
import { parseSafetensors } from '../checkpoints/load.js';
import type { ImageSource } from '../data/dataset.js';
import { selectImages } from '../data/images.js';
import { isAbsent } from '../errors.js';
import type { GateTrainingBatch, TrainingData } from '../gates/contracts.js';
import { Random } from '../random.js';
import { asFileProblem } from '../store/files.js';
import { openInputSync } from '../store/input.js';
import { CorruptEntryError, type Entry } from '../store/store.js';
import type { EngineDescription } from '../timing/record.js';

/** Names of the arrays in a shard. */
export const shardArrays = {
  gate: (index: number): string => `gate${index + 1}`,
  logits: 'logits',
  labels: 'labels',
  /** Positions in the image source of the images that could not be decoded; absent where all could. */
  leftOut: 'left_out',
};

/** Name in a shard's metadata of the engine that made it, as JSON. */
export const shardEngine = 'engine';

/** A gate's features beyond this are read from the disk in every pass, not held in memory. */
const MOST_BYTES_IN_MEMORY = 2 ** 30;

/** One cached shard: features of each gate, logits and labels of some consecutive images. */
export interface Shard {
  readonly count: number;
  /** [count] */
  readonly labels: Int32Array;
  /** [count, classes]; not there for training images. */
  readonly logits: Float32Array;
  /** Features of gate k (counted from 0), [count, features]. */
  features(gate: number): Float32Array;
  /** Where the features of gate k begin in the file, in bytes. */
  offset(gate: number): number;
  /** Positions in the image source of the images that were left out. */
  readonly leftOut: Int32Array;
}

/** What extracted features, and how long it took. What is made of features keeps it, since features may be removed. */
export interface Origin {
  readonly engine: EngineDescription;
  readonly seconds: number;
}

/** The extracted features of a set of images, in shards on the disk. */
export class FeatureSet {
  #checked: Promise<CheckedShard[]> | undefined;
  #made: Promise<unknown> | undefined;

  constructor(
    readonly entry: Entry,
    /** Images, those not counted that could not be decoded. */
    readonly count: number,
    readonly classes: number,
    /** Features of each gate. */
    readonly widths: readonly number[],
    /** Extracts them, where that was put off until somebody reads them. */
    readonly make?: () => Promise<unknown>,
  ) {}

  /** Where they came from; undefined where they are gone, or that was not recorded. */
  async origin(): Promise<Origin | undefined> {
    const { engine, seconds } = (await this.entry.manifest())?.notes ?? {};
    return engine === undefined ? undefined : ({ engine, seconds } as Origin);
  }

  /** The engine that made the first shard, as the shard itself says: for who finishes what others have extracted. */
  async engineOfShards(): Promise<EngineDescription | undefined> {
    const [name] = await this.entry.names();
    if (name === undefined) return undefined;
    const { metadata } = parseSafetensors(await this.entry.read(name), `${this.entry.directory}/${name}`);
    const said = metadata[shardEngine];
    return said === undefined ? undefined : (JSON.parse(said) as EngineDescription);
  }

  /** Names of the shards in order, all of them there. */
  async shardNames(): Promise<string[]> {
    this.#made ??= this.make?.() ?? Promise.resolve();
    await this.#made;
    return this.entry.names();
  }

  /** Shards in order, each read once and its hash checked. @throws CorruptEntryError */
  async *shards(): AsyncGenerator<Shard> {
    for (const name of await this.shardNames()) yield this.#open(name, await this.entry.read(name));
  }

  /** Every shard, read whole and its hash checked once; 4 bytes an image are kept. @throws CorruptEntryError */
  checkedShards(): Promise<CheckedShard[]> {
    this.#checked ??= (async () => {
      const checked: CheckedShard[] = [];
      for (const name of await this.shardNames()) {
        const shard = this.#open(name, await this.entry.read(name));
        const offsets = this.widths.map((_, gate) => shard.offset(gate));
        checked.push({ path: await this.entry.path(name), labels: shard.labels.slice(), offsets });
      }
      return checked;
    })();
    return this.#checked;
  }

  /** A line for each image that could not be decoded: the file, and what is wrong with it. */
  async unreadable(): Promise<readonly string[]> {
    const notes = (await this.entry.manifest())?.notes;
    const positions = (notes?.['leftOut'] as number[] | undefined) ?? [];
    return (notes?.['unreadable'] as string[] | undefined) ?? positions.map((position) => `image ${position}`);
  }

  /**
   * The images of `images` that this set holds, in its order: all but those that could not be decoded.
   *
   * @param images what the set was extracted from
   */
  async imagesOf(images: ImageSource): Promise<ImageSource> {
    const leftOut = new Set(((await this.entry.manifest())?.notes['leftOut'] as number[] | undefined) ?? []);
    if (leftOut.size === 0) return images;
    return selectImages(
      images,
      Int32Array.from({ length: images.count }, (_, i) => i).filter((i) => !leftOut.has(i)),
    );
  }

  /**
   * One gate's features for training: in memory, or read from the shards in every pass where they take more than 1 GiB.
   *
   * @throws CorruptEntryError
   */
  async gateData(gate: number, mostBytesInMemory = MOST_BYTES_IN_MEMORY): Promise<TrainingData> {
    const width = this.widths[gate]!;
    if (this.count * width * 4 > mostBytesInMemory) return streamedData(this, gate);
    const x = new Float32Array(this.count * width);
    const labels = new Int32Array(this.count);
    let start = 0;
    for await (const shard of this.shards()) {
      x.set(shard.features(gate), start * width);
      labels.set(shard.labels, start);
      start += shard.count;
    }
    return inMemory(x, labels, this.classes);
  }

  #open(name: string, bytes: Buffer): Shard {
    const { tensors } = parseSafetensors(bytes, `${this.entry.directory}/${name}`);
    const raw = (array: string): RawTensor => {
      const found = tensors.get(array);
      if (found === undefined) throw new Error(`${name}: no array "${array}"`);
      return found;
    };
    const floats = (array: string): Float32Array => view(raw(array).bytes, Float32Array);
    const labels = view(raw(shardArrays.labels).bytes, Int32Array);
    return {
      count: labels.length,
      labels,
      get logits() {
        return floats(shardArrays.logits);
      },
      features: (gate) => floats(shardArrays.gate(gate)),
      offset: (gate) => raw(shardArrays.gate(gate)).bytes.byteOffset - bytes.byteOffset,
      leftOut: tensors.has(shardArrays.leftOut) ? view(raw(shardArrays.leftOut).bytes, Int32Array) : new Int32Array(),
    };
  }
}

/** A view of bytes as 4-byte numbers; copied only where they do not lie aligned. */
function view<T extends Float32Array | Int32Array>(
  bytes: Uint8Array,
  type: new (buffer: ArrayBufferLike, offset: number, length: number) => T,
): T {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

/** Training data held in memory. @param x [count, features] row-major */
export function inMemory(x: Float32Array, labels: Int32Array, classes: number): TrainingData {
  const count = labels.length;
  const features = x.length / count;
  return {
    count,
    features,
    classes,
    async *batches(size, order): AsyncGenerator<GateTrainingBatch> {
      if (order === undefined) {
        for (let start = 0; start < count; start += size) {
          const end = Math.min(count, start + size);
          yield { x: x.subarray(start * features, end * features), labels: labels.subarray(start, end) };
        }
        return;
      }
      const images = new Random(order, 'gate training').shuffle(Int32Array.from({ length: count }, (_, i) => i));
      const [batch, batchLabels] = [new Float32Array(Math.min(size, count) * features), new Int32Array(size)];
      for (let start = 0; start < count; start += size) {
        const rows = Math.min(size, count - start);
        for (let row = 0; row < rows; row++) {
          const image = images[start + row]!;
          batch.set(x.subarray(image * features, (image + 1) * features), row * features);
          batchLabels[row] = labels[image]!;
        }
        yield { x: batch.subarray(0, rows * features), labels: batchLabels.subarray(0, rows) };
      }
    },
  };
}

const readAt = promisify(read);

/** A shard whose hash was checked in this process; its labels are kept, its features read from the file. */
export interface CheckedShard {
  readonly path: string;
  readonly labels: Int32Array;
  /** Where the features of each gate begin in the file, in bytes. */
  readonly offsets: readonly number[];
}

/** Features in shards, as far as passes over one gate's go. */
export interface ShardedFeatures {
  readonly count: number;
  readonly classes: number;
  readonly widths: readonly number[];
  /** Where they lie. */
  readonly entry: Entry;
  checkedShards(): Promise<CheckedShard[]>;
}

/** Bytes of features that are shuffled among each other; twice as much is held, as the next chunk is read meanwhile. */
const WINDOW_BYTES = 256 * 2 ** 20;

/** Some shards' features read into one array. */
interface Window {
  /** [rows, features]; of a buffer that is filled anew two windows later. */
  readonly x: Float32Array;
  readonly labels: Int32Array;
}

/**
 * Features of one gate for training, read from the shards in every pass: memory is two windows and a batch, however many
 * images there are.
 *
 * A shuffled pass takes the shards in an order drawn from its seed, as many at a time as fill a window, and the images
 * of a window in an order drawn from the seed too; batches are full but for the last one. An image therefore never
 * shares a batch with one that lies far behind it in the shards' order, which does no harm where each shard is a sample
 * of all classes: image folders give their training images in shuffled order for this.
 *
 * The first pass reads every shard whole and checks its hash; later ones read only this gate's numbers. The arrays of a
 * batch are good until the next one is asked for.
 */
export function streamedData(set: ShardedFeatures, gate: number, windowBytes = WINDOW_BYTES): TrainingData {
  return {
    count: set.count,
    features: set.widths[gate]!,
    classes: set.classes,
    async *batches(size, seed) {
      const shards = await set.checkedShards();
      const stream: Stream = { set, gate, features: set.widths[gate]!, shards, windowBytes };
      if (seed === undefined) yield* inOrder(stream, size);
      else yield* shuffled(stream, size, seed);
    },
  };
}

interface Stream {
  readonly set: ShardedFeatures;
  readonly gate: number;
  readonly features: number;
  readonly shards: readonly CheckedShard[];
  readonly windowBytes: number;
}

/** Every window of the shards in this order; the next one is read while one is used. */
async function* windows(stream: Stream, order: readonly number[]): AsyncGenerator<Window> {
  const { features } = stream;
  const shards = order.map((index) => stream.shards[index]!);
  const chunks = chunksOf(shards, Math.max(1, Math.floor(stream.windowBytes / (4 * features))));
  const rows = Math.max(0, ...chunks.map((chunk) => chunk.reduce((sum, { labels }) => sum + labels.length, 0)));
  const buffers = chunks.slice(0, 2).map(() => new Float32Array(rows * features));
  const fill = async (number: number): Promise<Window> => {
    const x = buffers[number % 2]!;
    const labels = new Int32Array(rows);
    const reads: Promise<void>[] = [];
    let filled = 0;
    for (const shard of chunks[number]!) {
      labels.set(shard.labels, filled);
      const start = filled;
      filled += shard.labels.length;
      reads.push(readFeatures(stream, shard, x.subarray(start * features, filled * features)));
    }
    await Promise.all(reads);
    return { x: x.subarray(0, filled * features), labels: labels.subarray(0, filled) };
  };
  let next = chunks.length > 0 ? fill(0) : undefined;
  try {
    for (let number = 0; next !== undefined; number++) {
      const window = await next;
      next = number + 1 < chunks.length ? fill(number + 1) : undefined;
      next?.catch(() => {}); // thrown where it is awaited
      yield window;
    }
  } finally {
    await next?.catch(() => {}); // a pass that is given up: nothing may write into the buffers any more
  }
}

/** Consecutive shards of at most `rows` images together; a larger shard is a chunk of its own. */
function chunksOf(shards: readonly CheckedShard[], rows: number): CheckedShard[][] {
  const chunks: CheckedShard[][] = [];
  let room = 0;
  for (const shard of shards) {
    const { length } = shard.labels;
    if (chunks.length === 0 || length > room) {
      chunks.push([]);
      room = rows;
    }
    chunks.at(-1)!.push(shard);
    room -= length;
  }
  return chunks;
}

/** Reads a gate's features of a shard into an array of their size. @throws CorruptEntryError where the file is not what it was */
async function readFeatures({ set, gate }: Stream, { path, offsets }: CheckedShard, into: Float32Array): Promise<void> {
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
  let file: number;
  try {
    file = openInputSync(path);
  } catch (error) {
    if (isAbsent(error)) throw new CorruptEntryError(set.entry, path, 'is missing');
    throw asFileProblem(error, path);
  }
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await readAt(file, bytes, done, bytes.length - done, offsets[gate]! + done);
      if (bytesRead === 0) throw new CorruptEntryError(set.entry, path, 'is shorter than it was');
      done += bytesRead;
    }
  } finally {
    closeSync(file);
  }
}

async function* inOrder(stream: Stream, size: number): AsyncGenerator<GateTrainingBatch> {
  const { features } = stream;
  for await (const { x, labels } of windows(stream, [...stream.shards.keys()])) {
    for (let start = 0; start < labels.length; start += size) {
      const end = Math.min(labels.length, start + size);
      yield { x: x.subarray(start * features, end * features), labels: labels.subarray(start, end) };
    }
  }
}

async function* shuffled(stream: Stream, size: number, seed: number): AsyncGenerator<GateTrainingBatch> {
  const { features, shards } = stream;
  const order = new Random(seed, 'shard order').shuffle([...shards.keys()]);
  const random = new Random(seed, 'gate training');
  const batch = { x: new Float32Array(size * features), labels: new Int32Array(size) };
  let filled = 0;
  for await (const window of windows(stream, order)) {
    for (const row of random.shuffle(Int32Array.from(window.labels.keys()))) {
      batch.x.set(window.x.subarray(row * features, (row + 1) * features), filled * features);
      batch.labels[filled] = window.labels[row]!;
      if (++filled < size) continue;
      yield batch;
      filled = 0;
    }
  }
  if (filled > 0) yield { x: batch.x.subarray(0, filled * features), labels: batch.labels.subarray(0, filled) };
}
