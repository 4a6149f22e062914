import type { Preprocessing } from '../data/preprocess.js';
import { InputError } from '../errors.js';
import publishers from './known.json' with { type: 'json' };

/** A known checkpoint, and what must accompany its weights. */
export interface KnownCheckpoint {
  readonly id: string;
  /** `<architecture>-<dataset>` */
  readonly network: string;
  readonly dataset: string;
  /** File in `experiments/checkpoints`, for one that ships with the project; it has no urls. */
  readonly shipped?: string;
  /** Mirrors of one file. */
  readonly urls: readonly string[];
  /** undefined: not measured. */
  readonly sizeBytes: number | undefined;
  /** Full sha256, or its first 8 digits (in PyTorch's file names); undefined if none is published. */
  readonly sha256: string | undefined;
  /** Whether the file itself was hashed for this list; otherwise the hash is its publisher's. */
  readonly hashChecked: boolean;
  /** SPDX identifier. */
  readonly licence: string;
  /** Published top-1 accuracy on the test split (CIFAR-10) or validation images (ImageNet), a fraction. */
  readonly reportedAccuracy: number;
  readonly preprocessing: Preprocessing;
  /** Where the numbers come from. */
  readonly reference: string;
  readonly note?: string;
}

/** Defaults of an entry, if its publisher states nothing and nothing was measured. */
const unstated = { urls: [], sizeBytes: undefined, sha256: undefined, hashChecked: false };

/**
 * Checkpoints of networks that dgate describes, by publisher (`known.json`), the preferred one of each network first. Addresses,
 * hashes and accuracies are the publishers', unless `hashChecked` is true. Those without addresses ship with the project;
 * `experiments/checkpoints/README.md` says how they were made.
 */
export const knownCheckpoints: readonly KnownCheckpoint[] = publishers.flatMap(({ checkpoints, ...shared }) =>
  checkpoints.map((own) => ({ ...unstated, ...shared, ...own })),
);

/** A known checkpoint by its id. @throws InputError naming the valid ones */
export function findCheckpoint(id: string): KnownCheckpoint {
  const found = knownCheckpoints.find((checkpoint) => checkpoint.id === id);
  if (found !== undefined) return found;
  throw new InputError(`checkpoint ${id}: unknown; valid: a file, or ${knownCheckpoints.map((c) => c.id).join(', ')}`);
}

/** The known checkpoint that a file is, by its hash. */
export function checkpointOfHash(sha256: string): KnownCheckpoint | undefined {
  return knownCheckpoints.find((known) => known.sha256 !== undefined && sha256.startsWith(known.sha256));
}

/** The known checkpoints that fit a network, the preferred one first. */
export function checkpointsFor(network: string): readonly KnownCheckpoint[] {
  return knownCheckpoints.filter((checkpoint) => checkpoint.network === network);
}

/** The checkpoint of a network that ships with the project: the default. */
export function shippedFor(network: string): KnownCheckpoint | undefined {
  return checkpointsFor(network).find(({ shipped }) => shipped !== undefined);
}
