import type { Storable } from '../checkpoints/load.js';
import type { ImageShape, ImageSource } from '../data/dataset.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import type { FeatureBatch, FeatureNetwork } from '../engines/engine.js';
import type { GateTrainingBatch } from '../gates/contracts.js';
import { softmaxOf } from '../gates/loss.js';
import { Random } from '../random.js';
import { shardArrays, type Window } from './features.js';

export const BATCH_IMAGES = 64;
/** Most bytes of a network's input: 8 images of ImageNet's size on a CPU, where more are no faster; 64 on a GPU. */
const INPUT_BYTES = { cpu: 5e6, gpu: 40e6 };

/** Images of a batch: a power of two, so that shards are whole batches. */
export function batchImages({ channels, height, width }: ImageShape, device: keyof typeof INPUT_BYTES): number {
  const fitting = INPUT_BYTES[device] / (4 * channels * height * width);
  return Math.min(BATCH_IMAGES, 2 ** Math.max(0, Math.floor(Math.log2(fitting))));
}

/**
 * Batches being read while the engine works. Some engines block the main thread while they compute, so a batch advances one step
 * in each pause; with five, one is always ready (decoding a file takes two steps).
 */
const AHEAD = 5;

/** A network's outputs for consecutive images, without those that cannot be decoded. */
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
 * Runs a network over images in order and reads the next batches meanwhile.
 *
 * @param device of the engine
 * @param ranges of images, each requested once the batches of the previous one are being read; all images by default. No batch
 *   spans two ranges.
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
  // Two inputs in turn: the engine reads one while the other is filled.
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
    // An error is thrown where the result is awaited; until then it is not unhandled.
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

/** Reads batches ahead, in order. A batch's pixels are reused after the next one is requested. */
async function* batchesAhead(
  images: ImageSource,
  device: keyof typeof INPUT_BYTES,
  ranges: Iterable<ImageRange> | AsyncIterable<ImageRange>,
): AsyncGenerator<Pixels> {
  const underWay: Promise<Pixels>[] = [];
  const places = placesIn(ranges, batchImages(images, device));
  // Reused: garbage of this size is collected late, and memory would grow.
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

/** Splits ranges into batches. @param size images of a batch */
async function* placesIn(
  ranges: Iterable<ImageRange> | AsyncIterable<ImageRange>,
  size: number,
): AsyncGenerator<{ readonly first: number; readonly count: number }> {
  for await (const { start, end } of ranges) {
    for (let first = start; first < end; first += size) yield { first, count: Math.min(size, end - first) };
  }
}

/** Drops the rows of unreadable images, which are outputs for zeros. */
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

/** The rows of a shard, filled batch by batch. Its memory is reused: such long-lived arrays are collected late. */
export class ShardRows {
  readonly #features: Float32Array[];
  #logits = new Float32Array();
  #positions = new Int32Array();
  #leftOut: number[] = [];
  #rows = 0;
  #covered = 0;

  /** @param widths features of each gate @param classes of the logits; 0 without logits */
  constructor(
    private readonly widths: readonly number[],
    private readonly classes: number,
  ) {
    this.#features = widths.map(() => new Float32Array());
  }

  /** Images covered so far, including those that could not be decoded. */
  get covered(): number {
    return this.#covered;
  }

  clear(): void {
    [this.#rows, this.#covered, this.#leftOut] = [0, 0, []];
  }

  /** Makes room for a shard; call it while empty. @param images of the shard */
  begin(images: number): void {
    if (this.#positions.length >= images) return;
    for (const [gate, width] of this.widths.entries()) this.#features[gate] = new Float32Array(images * width);
    this.#logits = new Float32Array(images * this.classes);
    this.#positions = new Int32Array(images);
  }

  /** Copies a batch. @throws RangeError if there is no room for it */
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

  /** The shard's arrays, [images, ...], as views that `clear` invalidates. @param ofAll label of each image of the source */
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

/** Batches of `size` images for the training of a gate, shuffled within each window if there is a seed. */
export async function* trainingBatches(
  windows: Iterable<Window> | AsyncIterable<Window>,
  classes: number,
  features: number,
  size: number,
  seed?: number,
): AsyncGenerator<GateTrainingBatch> {
  const rows = ({ x, labels, logits }: Window, start: number, end: number): GateTrainingBatch => ({
    x: x.subarray(start * features, end * features),
    labels: labels.subarray(start, end),
    ...(logits && { probabilities: softmaxOf(logits.subarray(start * classes, end * classes), classes) }),
  });
  if (seed === undefined) {
    for await (const window of windows) {
      const { length } = window.labels;
      for (let start = 0; start < length; start += size) yield rows(window, start, Math.min(length, start + size));
    }
    return;
  }
  const random = new Random(seed, 'gate training');
  const batch = { x: new Float32Array(size * features), labels: new Int32Array(size) };
  let drawn: Window = batch;
  let filled = 0;
  for await (const { x, labels, logits } of windows) {
    if (logits !== undefined && drawn.logits === undefined)
      drawn = { ...batch, logits: new Float32Array(size * classes) };
    for (const row of random.shuffle(Int32Array.from(labels.keys()))) {
      batch.x.set(x.subarray(row * features, (row + 1) * features), filled * features);
      batch.labels[filled] = labels[row]!;
      if (logits !== undefined)
        drawn.logits!.set(logits.subarray(row * classes, (row + 1) * classes), filled * classes);
      if (++filled < size) continue;
      yield rows(drawn, 0, size);
      filled = 0;
    }
  }
  if (filled > 0) yield rows(drawn, 0, filled);
}
