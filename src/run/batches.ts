import type { Storable } from '../checkpoints/load.js';
import type { ImageShape, ImageSource } from '../data/dataset.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import type { FeatureBatch, FeatureNetwork } from '../engines/engine.js';
import { shardArrays } from './features.js';

/** Images of a batch, at most. */
export const BATCH_IMAGES = 64;
/**
 * Bytes of a network's input, at most. On the CPU 8 images of ImageNet's size: more at once are no faster, and the memory
 * of everything under way grows with them. On a GPU 64.
 */
const INPUT_BYTES = { cpu: 5e6, gpu: 40e6 };

/** Images of a batch of a source: a power of two, so that shards are whole batches. */
export function batchImages({ channels, height, width }: ImageShape, device: keyof typeof INPUT_BYTES): number {
  const fitting = INPUT_BYTES[device] / (4 * channels * height * width);
  return Math.min(BATCH_IMAGES, 2 ** Math.max(0, Math.floor(Math.log2(fitting))));
}

/**
 * Batches that are being read while the engine works. Some engines hold the main thread as long as they compute, so a
 * batch moves on by one step in each pause: with five under way, one is always ready (decoding a file takes two).
 */
const AHEAD = 5;

/** What a network gives for some consecutive images, those left out that cannot be decoded. */
export interface NetworkBatch {
  /** Images that the batch covers. */
  readonly count: number;
  /** Position of each row of the result in the image source. */
  readonly positions: Int32Array;
  readonly result: FeatureBatch;
  /** Positions of the images that could not be decoded. */
  readonly leftOut: readonly number[];
}

/** Consecutive images: positions from `start` to before `end`. */
export interface ImageRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Runs a network over images in order; the next batches are read while the engine works on the last.
 *
 * @param device what the network runs on
 * @param ranges which images, the next one asked for when the batches of the last are under way; all by default. No batch
 *   holds images of two.
 */
export async function* runBatches(
  loaded: FeatureNetwork,
  images: ImageSource,
  preprocessing: Preprocessing,
  device: keyof typeof INPUT_BYTES,
  ranges: Iterable<ImageRange> | AsyncIterable<ImageRange> = [{ start: 0, end: images.count }],
): AsyncGenerator<NetworkBatch> {
  const channelSize = images.height * images.width;
  let running: { first: number; count: number; result: Promise<FeatureBatch> } | undefined;
  // Two inputs in turn: one that the engine reads while the other is filled.
  const inputs: (Float32Array | undefined)[] = [];
  let turn = 0;
  for await (const batch of batchesAhead(images, device, ranges)) {
    const { length } = batch.pixels;
    const place = turn++ % 2;
    const room = inputs[place];
    const whole = room !== undefined && room.length >= length ? room : new Float32Array(length);
    inputs[place] = whole;
    const input = normalise(batch.pixels, preprocessing, channelSize, whole.subarray(0, length));
    const finished = running && { ...running, result: await running.result };
    running = { first: batch.first, count: batch.count, result: loaded.run(input, batch.count) };
    // An error is thrown where the result is awaited; until then it must not count as unhandled.
    running.result.catch(() => {});
    if (finished !== undefined) yield withoutUnreadable(finished, images);
  }
  if (running !== undefined) yield withoutUnreadable({ ...running, result: await running.result }, images);
}

interface Pixels {
  readonly first: number;
  readonly count: number;
  readonly pixels: Uint8Array;
}

/** Batches in order, the next ones under way before they are asked for; a batch's pixels are good until then. */
async function* batchesAhead(
  images: ImageSource,
  device: keyof typeof INPUT_BYTES,
  ranges: Iterable<ImageRange> | AsyncIterable<ImageRange>,
): AsyncGenerator<Pixels> {
  const underWay: Promise<Pixels>[] = [];
  const places = placesIn(ranges, batchImages(images, device));
  // Pixels of batches that were used: garbage of this size would be collected late, and memory grow meanwhile.
  const spare: Uint8Array[] = [];
  let left = true;
  try {
    for (;;) {
      while (left && underWay.length < AHEAD) {
        const next = await places.next();
        if (next.done === true) {
          left = false;
          break;
        }
        const { first, count } = next.value;
        const indices = Int32Array.from({ length: count }, (_, i) => first + i);
        const batch = images.batch(indices, spare.pop());
        const loading = batch.then((pixels): Pixels => ({ first, count, pixels }));
        loading.catch(() => {}); // thrown where it is awaited
        underWay.push(loading);
      }
      const next = underWay.shift();
      if (next === undefined) return;
      const batch = await next;
      yield batch;
      spare.push(batch.pixels);
    }
  } finally {
    await Promise.allSettled(underWay);
    await places.return(undefined);
  }
}

/** Where the batches of the ranges lie. @param size images of a batch */
async function* placesIn(
  ranges: Iterable<ImageRange> | AsyncIterable<ImageRange>,
  size: number,
): AsyncGenerator<{ readonly first: number; readonly count: number }> {
  for await (const { start, end } of ranges) {
    for (let first = start; first < end; first += size) yield { first, count: Math.min(size, end - first) };
  }
}

/** Rows of images that turned out to be unreadable, which hold what the network says of zeros, are dropped. */
function withoutUnreadable(
  { first, count, result }: { readonly first: number; readonly count: number; readonly result: FeatureBatch },
  { unreadable }: ImageSource,
): NetworkBatch {
  const all = Int32Array.from({ length: count }, (_, i) => first + i);
  const positions = unreadable === undefined ? all : all.filter((position) => !unreadable.has(position));
  if (positions.length === count) return { count, positions, result, leftOut: [] };
  const keep = (data: Float32Array): Float32Array => {
    const width = data.length / count;
    const kept = new Float32Array(positions.length * width);
    positions.forEach((position, row) => {
      kept.set(data.subarray((position - first) * width, (position - first + 1) * width), row * width);
    });
    return kept;
  };
  return {
    count,
    positions,
    result: { features: result.features.map(keep), logits: keep(result.logits) },
    leftOut: [...all].filter((position) => unreadable?.has(position)),
  };
}

/**
 * What a shard holds, filled batch by batch. Its memory is used again for the next shard: arrays that live as long as a
 * shard takes are collected late, and memory would grow by several of them.
 */
export class ShardRows {
  readonly #features: Float32Array[];
  #logits = new Float32Array();
  #positions = new Int32Array();
  #leftOut: number[] = [];
  #rows = 0;
  #covered = 0;

  /**
   * @param widths features of each gate
   * @param classes of the logits; 0 where none are kept
   */
  constructor(
    private readonly widths: readonly number[],
    private readonly classes: number,
  ) {
    this.#features = widths.map(() => new Float32Array());
  }

  /** Images that the batches so far cover, those that could not be decoded included. */
  get covered(): number {
    return this.#covered;
  }

  /** Forgets what it holds. */
  clear(): void {
    [this.#rows, this.#covered, this.#leftOut] = [0, 0, []];
  }

  /** Makes room, where it holds nothing. @param images of the shard that comes */
  begin(images: number): void {
    if (this.#positions.length >= images) return;
    for (const [gate, width] of this.widths.entries()) this.#features[gate] = new Float32Array(images * width);
    this.#logits = new Float32Array(images * this.classes);
    this.#positions = new Int32Array(images);
  }

  /** Copies a batch, whose arrays are then free. @throws RangeError where it is more than was said */
  add({ count, positions, result, leftOut }: NetworkBatch): void {
    for (const [gate, width] of this.widths.entries()) {
      this.#features[gate]!.set(result.features[gate]!, this.#rows * width);
    }
    this.#logits.set(result.logits, this.#rows * this.classes);
    this.#positions.set(positions, this.#rows);
    this.#leftOut.push(...leftOut);
    this.#rows += positions.length;
    this.#covered += count;
  }

  /** The shard's arrays, [images, ...], as views: good until `clear`. @param ofAll label of every image of the source */
  content(ofAll: Int32Array): Map<string, Storable> {
    const rows = this.#rows;
    const floats = (data: Float32Array, width: number): Storable => {
      return { dtype: 'F32', shape: [rows, width], data: data.subarray(0, rows * width) };
    };
    const labels = this.#positions.subarray(0, rows).map((position) => ofAll[position]!);
    const leftOut = Int32Array.from(this.#leftOut);
    return new Map<string, Storable>([
      ...this.widths.map((width, gate): [string, Storable] => {
        return [shardArrays.gate(gate), floats(this.#features[gate]!, width)];
      }),
      ...(this.classes > 0 ? [[shardArrays.logits, floats(this.#logits, this.classes)] as [string, Storable]] : []),
      [shardArrays.labels, { dtype: 'I32', shape: [rows], data: labels }],
      ...(leftOut.length > 0
        ? [[shardArrays.leftOut, { dtype: 'I32', shape: [leftOut.length], data: leftOut }] as [string, Storable]]
        : []),
    ]);
  }
}
