import type { Progress } from '../progress.js';
import type { Preprocessing } from './preprocess.js';

/**
 * The parts in which a dataset is published. What dgate calls validation is cut from one of them (`splits.ts`): nothing
 * is chosen on the images that are reported on.
 */
export type PublishedSplit = 'train' | 'test';

/** Size of one image, in the order in which its bytes lie. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/**
 * Labelled images that are read in batches. Labels are always in memory, pixels need not be: a dataset larger than memory has
 * the same interface.
 */
export interface ImageSource extends ImageShape {
  readonly count: number;
  readonly classes: readonly string[];
  /** What the publisher calls the classes, in the same order (ImageNet: WordNet ids); absent where names do. */
  readonly classIds?: readonly string[];
  /** (count): the class of each image, an index into `classes`. */
  readonly labels: Int32Array;
  /**
   * Content id for cache keys, in hex: equal if images, labels and order are equal, from any source.
   */
  readonly sha256: string;
  /** Of each image in the published split that it comes from; absent where all are there in its order. */
  readonly positions?: Int32Array;
  /**
   * Images in the batches read so far that could not be decoded: the problem, by position. Their pixels are zeros, and their
   * results must not be used. Absent if images cannot be damaged.
   */
  readonly unreadable?: ReadonlyMap<number, string>;
  /**
   * Pixels of some images, in the requested order.
   *
   * @param indices positions in this source, each in [0, count)
   * @param into an array to use instead of a new one, if it is large enough
   * @returns (indices.length, channels, height, width), bytes 0-255, owned by the caller
   * @throws RangeError for a position outside the source
   */
  batch(indices: ArrayLike<number>, into?: Uint8Array): Promise<Uint8Array>;
}

/** An {@link ImageSource} whose pixels are all in memory. */
export interface ImageSet extends ImageSource {
  /** (count, channels, height, width), bytes 0-255. */
  readonly images: Uint8Array;
}

/**
 * Downloads one file and verifies its size and hashes; resumes where an earlier try stopped. The command line injects
 * `src/checkpoints/fetch.ts` here, because imports point one way.
 */
export type Download = (source: DownloadSource) => Promise<void>;

export interface DownloadSource {
  readonly url: string;
  /** Path of the file to make. */
  readonly to: string;
  readonly bytes?: number;
  /** In hex. */
  readonly sha256?: string;
}

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
  /** `present`: it was already there and is what it should be; `registered`: found where it lies, not read. */
  readonly outcome: 'fetched' | 'present' | 'registered';
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  /** What the user should know of it besides: what is missing, how much. */
  readonly notes?: readonly string[];
  /** Images of each class, by split. */
  readonly imagesPerClass: Readonly<Record<PublishedSplit, readonly number[]>>;
}

/** A dataset that dgate knows by name. Registered in `registry.ts`. */
export interface Dataset {
  readonly name: string;
  readonly description: string;
  readonly input: ImageShape;
  readonly classes: readonly string[];
  /** What the publisher calls the classes, in the same order (ImageNet: WordNet ids); absent where names do. */
  readonly classIds?: readonly string[];
  /** What was decided where a folder was taken for a dataset, and what is left out. */
  readonly notes?: readonly string[];
  /** Number of images of each published split. */
  readonly splits: Readonly<Record<PublishedSplit, number>>;
  /** Normalisation of networks that dgate trains; other checkpoints bring their own. */
  readonly preprocessing: Preprocessing;
  /** What `--from` takes besides a folder; the first is the default. */
  readonly sources: readonly string[];
  /** The size of the data, if they are outside the cache, in a folder that only `verify` reads. */
  readonly outside?: string;
  /** Whether it exists under `root`, complete or damaged. */
  isThere(root: string): Promise<boolean>;
  /**
   * Installs the dataset under `root`, completely or not at all; does nothing if it exists and is verified.
   *
   * @throws InputError if the source cannot be reached or does not hold the dataset
   */
  fetch(options: FetchOptions): Promise<DataReport>;
  /** Checks every file. @throws InputError with all problems at once */
  verify(root: string, progress?: Progress): Promise<DataReport>;
  /**
   * Opens one split.
   *
   * @param preprocessing how the network wants images of differing sizes resized and cropped; the dataset's own if absent
   * @throws InputError if it is missing or damaged
   */
  load(root: string, split: PublishedSplit, preprocessing?: Preprocessing): Promise<ImageSource>;
}
