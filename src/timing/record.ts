import type { Estimate } from './estimate.js';
import type { EngineDescription, MachineDescription, Surroundings } from './machine.js';
import type { RuleName } from './rules.js';
import type { TimeSummary } from './summary.js';

/** Version of the shape below; a file of another one is not read. */
export const RECORD_VERSION = 3;

/** What `dgate time` found: `timing.json`. Times are milliseconds of a run, which is a batch of images. */
export interface TimingRecord {
  readonly version: typeof RECORD_VERSION;
  readonly experiment: string;
  readonly preset: string;
  readonly date: string;
  readonly dgate: string;
  /** Identity of the code that was timed, see `codeOf`. */
  readonly code: string;
  readonly engine: EngineDescription;
  readonly machine: MachineDescription;
  readonly rules: RuleName;
  readonly network: string;
  readonly checkpointSha256: string;
  readonly batches: readonly BatchTiming[];
  /** All test images, row by row, where that was asked for. */
  readonly verified: readonly Agreement[] | null;
}

/** Every row of the table at one batch size. */
export interface BatchTiming {
  readonly batch: number;
  readonly warmUp: { readonly runs: number; readonly ms: number; readonly stable: boolean };
  readonly rows: readonly RowTiming[];
  /** What stands against trusting all rows of this batch size. */
  readonly warnings: readonly string[];
  readonly surroundings: Surroundings;
}

/** One row against the original network. */
export interface RowTiming extends Estimate {
  /** When its last pair had been measured. */
  readonly date: string;
  readonly model: string;
  /** Thresholds of each part, as the table has them; null for a closed gate. */
  readonly thresholds: readonly (readonly (number | null)[])[];
  /** How many pairs were chosen, and why. */
  readonly rule: string;
  /** Batches that one network ran back to back before the other had its turn. */
  readonly batchesPerTurn: number;
  readonly pairs: number;
  /** Images timed, each as often as it was. */
  readonly images: number;
  /** The original network, one value for each pair. */
  readonly originalMs: TimeSummary;
  readonly gatedMs: TimeSummary;
  readonly originalImagesPerSecond: number;
  readonly gatedImagesPerSecond: number;
  /** Timed images by exit, the original classifier last. */
  readonly exits: readonly number[];
  /** The timed images. */
  readonly agreement: Agreement;
  readonly warnings: readonly string[];
}

/** Class and exit of images against the cached evaluation that the table rests on. */
export interface Agreement {
  /** Different images compared. */
  readonly images: number;
  /** Class or exit differs, and a confidence lies within 1e-4 of its threshold. */
  readonly nearThreshold: number;
  /** Class or exit differs for no such reason. */
  readonly differing: number;
}
