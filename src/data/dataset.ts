import type { Progress } from '../progress.js';
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
  /** Folder that holds the dataset. */
  readonly directory: string;
  /** `present`: already there and valid; `registered`: listed where it lies, not read. */
  readonly outcome: 'fetched' | 'present' | 'registered';
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  /** For the user: what is missing, how much. */
  readonly notes?: readonly string[];
  /** Images of each class, by split. */
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
  /** Number of images of each published split. */
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
