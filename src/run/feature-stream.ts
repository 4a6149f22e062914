import { closeSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { isAbsent } from '../errors.js';
import type { GateTrainingBatch, TrainingData } from '../gates/contracts.js';
import { Random } from '../random.js';
import { asFileProblem } from '../store/files.js';
import { openInputSync } from '../store/input.js';
import { CorruptEntryError, type Entry } from '../store/store.js';

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
