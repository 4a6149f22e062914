import type { Estimate } from './estimate.js';
import type { EngineDescription, MachineDescription, Surroundings } from './machine.js';
import type { RuleName } from './rules.js';
import type { TimeSummary } from './summary.js';

/** Version of the format below; files of other versions are not read. */
export const RECORD_VERSION = 4;

/** The results of `dgate time`: `timing.json`. Times are milliseconds per run; a run is a batch of images. */
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
  /** Processes that timed every row. */
  readonly repeats: number;
  readonly network: string;
  readonly checkpointSha256: string;
  readonly batches: readonly BatchTiming[];
  /** Agreement on all test images, row by row, if requested. */
  readonly verified: readonly Agreement[] | null;
}

/** Every row of the table at one batch size. */
export interface BatchTiming {
  readonly batch: number;
  readonly warmUp: { readonly runs: number; readonly ms: number; readonly stable: boolean };
  readonly rows: readonly RowTiming[];
  /** Reasons not to trust any row of this batch size. */
  readonly warnings: readonly string[];
  readonly surroundings: Surroundings;
}

/** One row of the table compared with the original network. */
export interface RowTiming extends Estimate {
  /** Time of its last pair. */
  readonly date: string;
  readonly model: string;
  /** Thresholds of each part, as in the table; null for a closed gate. */
  readonly thresholds: readonly (readonly (number | null)[])[];
  /** Speed-up of each process; the interval contains their variation. */
  readonly speedUps: readonly number[];
  /** Number of pairs in a process and the reason for it. */
  readonly rule: string;
  /** Batches that each network ran consecutively. */
  readonly batchesPerTurn: number;
  /** Of all processes. */
  readonly pairs: number;
  /** Timed images, repetitions included. */
  readonly images: number;
  /** The original network, one value for each pair. */
  readonly originalMs: TimeSummary;
  readonly gatedMs: TimeSummary;
  readonly originalImagesPerSecond: number;
  readonly gatedImagesPerSecond: number;
  /** Timed images by exit, the original classifier last. */
  readonly exits: readonly number[];
  /** Agreement on the timed images. */
  readonly agreement: Agreement;
  readonly warnings: readonly string[];
}

/** Agreement of class and exit with the cached evaluation, which the table is computed from. */
export interface Agreement {
  /** Different images compared. */
  readonly images: number;
  /** Class or exit differs, and a confidence lies within 1e-4 of its threshold. */
  readonly nearThreshold: number;
  /** Class or exit differs for another reason. */
  readonly differing: number;
}
