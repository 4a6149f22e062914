import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import type { RawTensor } from '../checkpoints/dtypes.js';
import { parseSafetensors } from '../checkpoints/load.js';
import { type ImageSource, selectImages } from '../data/dataset.js';
import { isAbsent } from '../errors.js';
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
  /** Positions of the images that could not be decoded; absent if there are none. */
  leftOut: 'left_out',
};

/** Name in a shard's metadata of the engine that made it, as JSON. */
export const shardEngine = 'engine';

/** One cached shard: features of each gate, logits and labels of consecutive images. */
export interface Shard {
  readonly count: number;
  /** [count] */
  readonly labels: Int32Array;
  /** [count, classes]; missing for training images. */
  readonly logits: Float32Array;
  /** Features of gate k (from 0), [count, features]. */
  features(gate: number): Float32Array;
  /** Where the features of gate k begin in the file, in bytes, or the logits; NaN where there are none. */
  offset(of: number | 'logits'): number;
  /** Positions in the image source of the images that were left out. */
  readonly leftOut: Int32Array;
}

/** A shard whose hash was checked in this process; its features are read from the file. */
interface CheckedShard {
  readonly path: string;
  readonly labels: Int32Array;
  /** Where the features of each gate begin in the file, in bytes. */
  readonly offsets: readonly number[];
}

/** What extracted features, and how long it took. Gates and scores keep it, since features may be removed. */
export interface Origin {
  readonly engine: EngineDescription;
  readonly seconds: number;
}

/** Positions in the image source of the images of a complete entry that could not be decoded. */
export async function leftOutIn(entry: Entry): Promise<readonly number[]> {
  return ((await entry.manifest())?.notes['leftOut'] as number[] | undefined) ?? [];
}

/** The extracted features of a set of images, in shards on the disk. */
export class FeatureSet {
  #checked: Promise<CheckedShard[]> | undefined;
  #made: Promise<unknown> | undefined;

  constructor(
    readonly entry: Entry,
    /** Images that could be decoded. */
    readonly count: number,
    readonly classes: number,
    /** Features of each gate. */
    readonly widths: readonly number[],
    /** Extracts them on first use; absent if they are extracted. */
    readonly make?: () => Promise<unknown>,
  ) {}

  /** Where they came from; undefined if they are gone or it was not recorded. */
  async origin(): Promise<Origin | undefined> {
    const { engine, seconds } = (await this.entry.manifest())?.notes ?? {};
    return engine === undefined ? undefined : ({ engine, seconds } as Origin);
  }

  /** The engine that made the first shard, as the shard itself records it. */
  async engineOfShards(): Promise<EngineDescription | undefined> {
    const [name] = await this.entry.names();
    if (name === undefined) return undefined;
    const { metadata } = parseSafetensors(await this.entry.read(name), `${this.entry.directory}/${name}`);
    const said = metadata[shardEngine];
    return said === undefined ? undefined : (JSON.parse(said) as EngineDescription);
  }

  /** Names of all shards in order; extracts missing ones. */
  async shardNames(): Promise<string[]> {
    this.#made ??= this.make?.() ?? Promise.resolve();
    await this.#made;
    return this.entry.names();
  }

  /** Shards in order, each read once and its hash checked. @throws CorruptEntryError */
  async *shards(): AsyncGenerator<Shard> {
    for (const name of await this.shardNames()) yield this.#open(name, await this.entry.read(name));
  }

  /** Reads all shards once and checks their hashes; keeps 4 bytes an image. @throws CorruptEntryError */
  checkedShards(): Promise<CheckedShard[]> {
    this.#checked ??= (async () => {
      const checked: CheckedShard[] = [];
      for (const name of await this.shardNames()) {
        const shard = this.#open(name, await this.entry.read(name));
        const offsets = [...this.widths.map((_, gate) => shard.offset(gate)), shard.offset('logits')];
        checked.push({ path: await this.entry.path(name), labels: shard.labels.slice(), offsets });
      }
      return checked;
    })();
    return this.#checked;
  }

  /** A line for each image that could not be decoded: the file and the reason. */
  async unreadable(): Promise<readonly string[]> {
    const reasons = (await this.entry.manifest())?.notes['unreadable'] as string[] | undefined;
    return reasons ?? (await leftOutIn(this.entry)).map((position) => `image ${position}`);
  }

  /** The images that this set holds, in its order. @param images what it was extracted from */
  async imagesOf(images: ImageSource): Promise<ImageSource> {
    const leftOut = new Set(await leftOutIn(this.entry));
    if (leftOut.size === 0) return images;
    const all = Int32Array.from({ length: images.count }, (_, i) => i);
    const kept = all.filter((i) => !leftOut.has(i));
    return selectImages(images, kept);
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
      offset: (of) => {
        const name = of === 'logits' ? shardArrays.logits : shardArrays.gate(of);
        return (tensors.get(name)?.bytes.byteOffset ?? Number.NaN) - bytes.byteOffset;
      },
      leftOut: tensors.has(shardArrays.leftOut) ? view(raw(shardArrays.leftOut).bytes, Int32Array) : new Int32Array(),
    };
  }
}

/** A view of bytes as 4-byte numbers; a copy if they are not aligned. */
function view<T extends Float32Array | Int32Array>(
  bytes: Uint8Array,
  type: new (buffer: ArrayBufferLike, offset: number, length: number) => T,
): T {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4);
}

// Passes over one gate.

/** Features read into one array. */
export interface Window {
  /** [rows, features]; reused two windows later. */
  readonly x: Float32Array;
  readonly labels: Int32Array;
  /** [rows, classes], where they are asked for. */
  readonly logits?: Float32Array;
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

/**
 * A gate's features, or behind the last gate the logits, in windows of consecutive shards; the next window is read while one is used.
 *
 * @param bytes of a window's features, at most; a larger shard is a window of its own
 * @param seed draws the order of the shards; by default they are in order
 */
export async function* windowsOf(
  set: FeatureSet,
  gate: number,
  bytes: number,
  seed: number | undefined,
  withLogits = false,
): AsyncGenerator<Window> {
  const features = set.widths[gate] ?? set.classes;
  const checked = await set.checkedShards();
  const shards = seed === undefined ? checked : new Random(seed, 'shard order').shuffle([...checked]);
  const chunks = chunksOf(shards, Math.max(1, Math.floor(bytes / (4 * features))));
  const rows = Math.max(0, ...chunks.map((chunk) => chunk.reduce((sum, { labels }) => sum + labels.length, 0)));
  const buffers = chunks.slice(0, 2).map(() => new Float32Array(rows * features));
  const fill = async (number: number): Promise<Window> => {
    const x = buffers[number % 2]!;
    const labels = new Int32Array(rows);
    const logits = new Float32Array(withLogits ? rows * set.classes : 0);
    const reads: Promise<void>[] = [];
    let filled = 0;
    for (const shard of chunks[number]!) {
      labels.set(shard.labels, filled);
      const start = filled;
      filled += shard.labels.length;
      reads.push(readFeatures(set.entry, shard, gate, x.subarray(start * features, filled * features)));
      const own = logits.subarray(start * set.classes, filled * set.classes);
      if (withLogits) reads.push(readFeatures(set.entry, shard, set.widths.length, own));
    }
    await Promise.all(reads);
    const window = { x: x.subarray(0, filled * features), labels: labels.subarray(0, filled) };
    return withLogits ? { ...window, logits: logits.subarray(0, filled * set.classes) } : window;
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
    await next?.catch(() => {}); // an abandoned pass must stop writing into the buffers
  }
}

const readAt = promisify(read);

/** @param gate or the number of gates, for the logits. @param into receives its numbers of a shard. @throws CorruptEntryError if the file is missing or shorter */
async function readFeatures(
  entry: Entry,
  { path, offsets }: CheckedShard,
  gate: number,
  into: Float32Array,
): Promise<void> {
  const bytes = new Uint8Array(into.buffer, into.byteOffset, into.byteLength);
  let file: number;
  try {
    file = openInputSync(path);
  } catch (error) {
    if (isAbsent(error)) throw new CorruptEntryError(entry, path, 'is missing');
    throw asFileProblem(error, path);
  }
  try {
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await readAt(file, bytes, done, bytes.length - done, offsets[gate]! + done);
      if (bytesRead === 0) throw new CorruptEntryError(entry, path, 'is shorter than it was');
      done += bytesRead;
    }
  } finally {
    closeSync(file);
  }
}
