import type { ImageShape, ImageSource } from '../data/dataset.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import type { FeatureBatch, FeatureNetwork } from '../engines/engine.js';

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
