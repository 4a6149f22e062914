import { InputError } from '../errors.js';
import type { Progress } from '../progress.js';
import { Random } from '../random.js';
import { canonicalJson, sha256 } from '../store/files.js';
import type { Preprocessing } from './preprocess.js';

/** A published split. Validation images are cut from one of them: nothing is chosen on reported images. */
export type PublishedSplit = 'train' | 'test';

/** Size of one image, in the order of its bytes. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Labelled images, read in batches. Labels are in memory; pixels need not be. */
export interface ImageSource extends ImageShape {
  readonly count: number;
  readonly classes: readonly string[];
  /** The publisher's ids of the classes (ImageNet: WordNet ids); absent if it uses names. */
  readonly classIds?: readonly string[];
  /** (count): the class of each image, an index into `classes`. */
  readonly labels: Int32Array;
  /** Content id for cache keys, in hex: equal for equal images, labels and order. */
  readonly sha256: string;
  /** Positions in the published split; absent if all its images are here in its order. */
  readonly positions?: Int32Array;
  /**
   * Problems of images read so far that could not be decoded, by position. Their pixels are zeros: do not use their results.
   * Absent if images cannot be damaged.
   */
  readonly unreadable?: ReadonlyMap<number, string>;
  /**
   * Pixels of some images, in the requested order.
   *
   * @param indices positions in this source, each in [0, count)
   * @param into an array to use if it is large enough
   * @returns (indices.length, channels, height, width), bytes 0-255, owned by the caller
   * @throws RangeError for a position outside the source
   */
  batch(indices: ArrayLike<number>, into?: Uint8Array): Promise<Uint8Array>;
}

/** An {@link ImageSource} in memory. */
export interface ImageSet extends ImageSource {
  /** (count, channels, height, width), bytes 0-255. */
  readonly images: Uint8Array;
}

/**
 * Downloads one file and verifies its size and hash; resumes an interrupted download. The command line injects
 * `src/checkpoints/fetch.ts`, because imports point one way.
 */
export type Download = (source: {
  readonly url: string;
  /** Path of the file to make. */
  readonly to: string;
  readonly bytes?: number;
  /** In hex. */
  readonly sha256?: string;
}) => Promise<void>;

export interface FetchOptions {
  /** Folder of all datasets (`<cache>/data`); the dataset makes its own folder in it. */
  readonly root: string;
  /** One of the dataset's `sources`, or the path of a folder or archive that holds the data. */
  readonly from: string;
  readonly progress: Progress;
  readonly download: Download;
}

/** What `dgate data fetch` and `dgate data verify` report. */
export interface DataReport {
  readonly dataset: string;
  readonly directory: string;
  /** `present`: already there and valid; `registered`: listed where it lies, not read. */
  readonly outcome: 'fetched' | 'present' | 'registered';
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  /** For the user: what is missing, how much. */
  readonly notes?: readonly string[];
  readonly imagesPerClass: Readonly<Record<PublishedSplit, readonly number[]>>;
}

/** A dataset. `registry.ts` lists those that the command line knows by name. */
export interface Dataset {
  readonly name: string;
  readonly description: string;
  readonly input: ImageShape;
  readonly classes: readonly string[];
  /** As in {@link ImageSource}. */
  readonly classIds?: readonly string[];
  /** Of a folder taken for a dataset: what was decided, and what is left out. */
  readonly notes?: readonly string[];
  readonly splits: Readonly<Record<PublishedSplit, number>>;
  /** Normalisation of networks that dgate trains; other checkpoints bring their own. */
  readonly preprocessing: Preprocessing;
  /** Valid values of `--from` besides a folder; the first is the default. */
  readonly sources: readonly string[];
  /** Size of data that lie outside the cache, in a folder that only `verify` reads. */
  readonly outside?: string;
  /** Whether it exists under `root`, complete or damaged. */
  isThere(root: string): Promise<boolean>;
  /**
   * Installs the dataset under `root`, completely or not at all; keeps a valid one.
   *
   * @throws InputError if the source cannot be reached or does not hold the dataset
   */
  fetch(options: FetchOptions): Promise<DataReport>;
  /** Checks every file. @throws InputError with all problems at once */
  verify(root: string, progress?: Progress): Promise<DataReport>;
  /**
   * Opens one split.
   *
   * @param preprocessing resizing and cropping of images of differing sizes; the dataset's own if absent
   * @throws InputError if it is missing or damaged
   */
  load(root: string, split: PublishedSplit, preprocessing?: Preprocessing): Promise<ImageSource>;
}

/**
 * Images in memory.
 *
 * @throws RangeError if the number of pixels does not fit the labels and the shape, or a label is not a class
 */
export function imageSet(data: Omit<ImageSet, 'count' | 'batch'>): ImageSet {
  const { images, labels, classes } = data;
  const imageBytes = data.channels * data.height * data.width;
  if (images.length !== labels.length * imageBytes) {
    throw new RangeError(`${images.length} bytes for ${labels.length} images of ${imageBytes} bytes`);
  }
  classCounts(labels, classes.length);
  return {
    ...data,
    count: labels.length,
    async batch(indices) {
      const out = new Uint8Array(indices.length * imageBytes);
      for (let i = 0; i < indices.length; i++) {
        const start = checkedIndex(indices[i]!, labels.length) * imageBytes;
        out.set(images.subarray(start, start + imageBytes), i * imageBytes);
      }
      return out;
    },
  };
}

/**
 * The chosen images of a source, in the order of `indices`; copies only the labels.
 *
 * @throws RangeError for a position outside the source
 */
export function selectImages(source: ImageSource, indices: Int32Array): ImageSource {
  const chosen = indices.slice();
  const unreadable = new Map<number, string>();
  return {
    ...source,
    count: chosen.length,
    positions: chosen.map((index) => source.positions?.[index] ?? index),
    labels: chosen.map((index) => source.labels[checkedIndex(index, source.count)]!),
    sha256: sha256(canonicalJson({ source: source.sha256, chosen: sha256(new Uint8Array(chosen.buffer)) })),
    ...(source.unreadable && { unreadable }),
    async batch(positions, into) {
      const indices = Int32Array.from(positions, (position) => chosen[checkedIndex(position, chosen.length)]!);
      const images = await source.batch(indices, into);
      indices.forEach((index, i) => {
        const reason = source.unreadable?.get(index);
        if (reason !== undefined) unreadable.set(positions[i]!, reason);
      });
      return images;
    },
  };
}

/**
 * Consecutive batches of `size` images (the last may be smaller), from position `start` on: `images` (count, channels, height,
 * width) bytes and `labels` (count), the first at position `start` of the source.
 */
export async function* batchesOf(source: ImageSource, size: number, start = 0) {
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`batch size ${size}: not a positive whole number`);
  for (let first = start; first < source.count; first += size) {
    const count = Math.min(size, source.count - first);
    const indices = Int32Array.from({ length: count }, (_, i) => first + i);
    const labels = source.labels.slice(first, first + count);
    yield { start: first, count, images: await source.batch(indices), labels };
  }
}

/** @throws RangeError unless the index is in [0, count) */
export function checkedIndex(index: number, count: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= count) throw new RangeError(`image ${index} of ${count}`);
  return index;
}

/** Positions in a list of labels, ascending. */
export type Indices = Int32Array;

/**
 * Divides images into folds with the same share of every class: sizes differ by at most one, overall and within each class.
 *
 * @param labels the class of each image, in [0, classes)
 * @param folds 1 to the number of images
 * @returns the positions in each fold, ascending; every image is in exactly one
 * @throws InputError if there are more folds than images; RangeError for a label that is not a class
 */
export function stratifiedFolds(labels: ArrayLike<number>, classes: number, folds: number, seed: number): Indices[] {
  if (!Number.isInteger(folds) || folds < 1 || folds > labels.length) {
    throw new InputError(`${folds} folds of ${labels.length} images; valid: 1 to ${labels.length}`);
  }
  const members: number[][] = Array.from({ length: folds }, () => []);
  // As in dealing cards, a class continues with the fold after the last image's.
  let dealt = 0;
  for (const ofClass of shuffledByClass(labels, classes, new Random(seed, 'folds'))) {
    for (const index of ofClass) members[dealt++ % folds]!.push(index);
  }
  return members.map(ascending);
}

/**
 * Holds out some images, in proportion to the classes.
 *
 * @param count images to hold out, 0 to the number of images
 * @returns `held` (count) and `rest`, positions ascending; every image is in exactly one
 * @throws InputError if there are fewer images; RangeError for a label that is not a class
 */
export function holdOut(
  labels: ArrayLike<number>,
  classes: number,
  count: number,
  seed: number,
): { readonly rest: Indices; readonly held: Indices } {
  const held = choose(labels, classes, count, 0, new Random(seed, 'hold-out'));
  const isHeld = new Set(held);
  const rest = Int32Array.from({ length: labels.length }, (_, i) => i).filter((index) => !isHeld.has(index));
  return { rest, held };
}

/**
 * A random subset of images, in proportion to the classes. With classes of equal size, a smaller subset is part of a larger
 * one with the same seed.
 *
 * @param count 1 to the number of images
 * @returns (count) positions, ascending
 * @throws InputError if there are fewer images; RangeError for a label that is not a class
 */
export function stratifiedSubset(labels: ArrayLike<number>, classes: number, count: number, seed: number): Indices {
  return choose(labels, classes, count, 1, new Random(seed, 'subset'));
}

/** Number of images of each class. @throws RangeError for a label that is not a class */
export function classCounts(labels: ArrayLike<number>, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new RangeError(`image ${i}: label ${label} of ${classes} classes`);
    }
    counts[label]!++;
  }
  return counts;
}

function choose(labels: ArrayLike<number>, classes: number, count: number, least: number, random: Random): Indices {
  if (!Number.isInteger(count) || count < least || count > labels.length) {
    throw new InputError(`${count} images asked for; valid: ${least} to ${labels.length}`);
  }
  const byClass = shuffledByClass(labels, classes, random);
  const sizes = byClass.map((ofClass) => ofClass.length);
  const shares = sharesOf(sizes, count, random);
  return ascending(byClass.flatMap((ofClass, label) => ofClass.slice(0, shares[label]!)));
}

/** Divides `count` in proportion to the sizes: rounded down, then one more for the largest remainders (ties at random). */
function sharesOf(sizes: readonly number[], count: number, random: Random): number[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total === 0) return sizes.map(() => 0);
  const shares = sizes.map((size) => Math.floor((size * count) / total));
  const missing = count - shares.reduce((sum, share) => sum + share, 0);
  // Whole numbers, so that equal remainders are equal.
  const remainder = (label: number): number => (sizes[label]! * count) % total;
  const order = random.shuffle([...sizes.keys()]).sort((a, b) => remainder(b) - remainder(a));
  for (const label of order.slice(0, missing)) shares[label]!++;
  return shares;
}

/** The positions of each class's images in random order. */
function shuffledByClass(labels: ArrayLike<number>, classes: number, random: Random): number[][] {
  const byClass = classCounts(labels, classes).map((): number[] => []);
  for (let i = 0; i < labels.length; i++) byClass[labels[i]!]!.push(i);
  return byClass.map((ofClass) => random.shuffle(ofClass));
}

const ascending = (indices: readonly number[]): Indices => Int32Array.from(indices).sort();
