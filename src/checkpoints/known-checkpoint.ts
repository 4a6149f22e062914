import type { Preprocessing } from '../data/preprocess.js';

/** A public checkpoint, and what must travel with its weights. */
export interface KnownCheckpoint {
  /** What the command line calls it. */
  readonly id: string;
  /** The network that it fits, `<architecture>-<dataset>`. */
  readonly network: string;
  readonly dataset: 'cifar10' | 'imagenet';
  /** File in `experiments/checkpoints`, for a network that ships with the project; it has no urls. */
  readonly shipped?: string;
  /** Mirrors of one file. */
  readonly urls: readonly string[];
  /** undefined: nobody who wrote this list could measure it. */
  readonly sizeBytes: number | undefined;
  /** Full sha256, or the first 8 digits that PyTorch's file names carry; undefined where none is published. */
  readonly sha256: string | undefined;
  /** Whether the file itself was hashed for this list. Otherwise the hash is only what its publisher says. */
  readonly hashChecked: boolean;
  /** SPDX identifier. */
  readonly licence: string;
  /** Top-1 accuracy on the test split (CIFAR-10) or validation images (ImageNet), as a fraction, as its publisher says. */
  readonly reportedAccuracy: number;
  readonly preprocessing: Preprocessing;
  /** Where the numbers come from. */
  readonly reference: string;
  /** What to know before using it. */
  readonly note?: string;
}
