import { canonicalJson, sha256 } from '../store/files.js';
import type { ImageSet, ImageShape, ImageSource } from './dataset.js';

/** The content of an {@link ImageSet}. */
export interface ImageData extends ImageShape {
  /** (labels.length, channels, height, width), bytes 0-255. */
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly classes: readonly string[];
  readonly sha256: string;
}

/**
 * Images that are all in memory.
 *
 * @throws RangeError if the number of pixels does not fit the labels and the shape, or a label is not a class
 */
export function imageSet(data: ImageData): ImageSet {
  const { images, labels } = data;
  const imageBytes = data.channels * data.height * data.width;
  if (images.length !== labels.length * imageBytes) {
    throw new RangeError(`${images.length} bytes for ${labels.length} images of ${imageBytes} bytes`);
  }
  const strange = labels.findIndex((label) => label < 0 || label >= data.classes.length);
  if (strange >= 0)
    throw new RangeError(`image ${strange}: label ${labels[strange]} of ${data.classes.length} classes`);
  return {
    ...data,
    count: labels.length,
    async batch(indices) {
      const out = new Uint8Array(indices.length * imageBytes);
      for (let i = 0; i < indices.length; i++) {
        const start = checkedIndex(indices, i, labels.length) * imageBytes;
        out.set(images.subarray(start, start + imageBytes), i * imageBytes);
      }
      return out;
    },
  };
}

/**
 * The chosen images of a source, in the order of `indices`; only the labels are copied.
 *
 * @throws RangeError for a position outside the source
 */
export function selectImages(source: ImageSource, indices: Int32Array): ImageSource {
  const chosen = indices.slice();
  const unreadable = new Map<number, string>();
  return {
    channels: source.channels,
    height: source.height,
    width: source.width,
    classes: source.classes,
    ...(source.classIds && { classIds: source.classIds }),
    count: chosen.length,
    positions: chosen.map((index) => source.positions?.[index] ?? index),
    labels: chosen.map((_, i) => source.labels[checkedIndex(chosen, i, source.count)]!),
    sha256: sha256(canonicalJson({ source: source.sha256, chosen: sha256(new Uint8Array(chosen.buffer)) })),
    ...(source.unreadable && { unreadable }),
    async batch(positions, into) {
      const indices = Int32Array.from(positions, (_, i) => chosen[checkedIndex(positions, i, chosen.length)]!);
      const images = await source.batch(indices, into);
      indices.forEach((index, i) => {
        const reason = source.unreadable?.get(index);
        if (reason !== undefined) unreadable.set(positions[i]!, reason);
      });
      return images;
    },
  };
}

/** Some consecutive images of a source. */
export interface ImageBatch {
  /** Position of the first image in the source. */
  readonly start: number;
  readonly count: number;
  /** (count, channels, height, width), bytes 0-255. */
  readonly images: Uint8Array;
  /** (count) */
  readonly labels: Int32Array;
}

/** All images in order, `size` at a time (the last batch may be smaller), from position `start` on. */
export async function* batchesOf(source: ImageSource, size: number, start = 0): AsyncGenerator<ImageBatch> {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`batch size ${size}: not a positive whole number`);
  for (let first = start; first < source.count; first += size) {
    const count = Math.min(size, source.count - first);
    const indices = Int32Array.from({ length: count }, (_, i) => first + i);
    yield {
      start: first,
      count,
      images: await source.batch(indices),
      labels: source.labels.slice(first, first + count),
    };
  }
}

function checkedIndex(indices: ArrayLike<number>, position: number, count: number): number {
  const index = indices[position]!;
  if (!Number.isInteger(index) || index < 0 || index >= count) throw new RangeError(`image ${index} of ${count}`);
  return index;
}
