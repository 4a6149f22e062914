import type { PresetName } from '../../experiment/presets.js';
import type { PairTimes } from '../../timing/estimate.js';
import type { Clock, RuleName } from '../../timing/pairs.js';
import type { RowTiming, TimingRecord } from '../../timing/record.js';

export interface TimingOptions {
  readonly preset: PresetName;
  /** Batch sizes; 1 is the latency of the paper's tables. */
  readonly batches: readonly number[];
  /** Times this many test images, the first ones, each once; chosen by what a run takes if absent. */
  readonly images?: number | undefined;
  readonly rules: RuleName;
  /** First compares class and exit of all test images with the cached evaluation. */
  readonly verify?: boolean;
  readonly clock?: Clock;
  /** Rest before each turn; tests, whose networks have no threads, take none. */
  readonly rest?: () => Promise<void>;
  /** Processes that time every row, one after the other; 1 if absent. */
  readonly repeats?: number;
  /** Which of them this is, from 1. */
  readonly repeat?: number;
  /** Keeps every row as it comes, and has those of an interrupted timing. */
  readonly resume?: ResumableRows;
}

/** A row that has been timed. */
export interface TimedRow {
  readonly timing: RowTiming;
  readonly pairs: readonly RawPair[];
}

/** Where the rows of a process that has not ended are kept. */
export interface ResumableRows {
  /** @returns the row of an interrupted timing, if it was measured as it would be now */
  find(batch: number, index: number, thresholds: RowTiming['thresholds']): Promise<TimedRow | undefined>;
  keep(batch: number, index: number, row: TimedRow): Promise<void>;
}

export interface TimingOutcome {
  readonly record: TimingRecord;
  readonly pairs: readonly RawPair[];
}

/** One measured pair in the raw times. */
export interface RawPair extends PairTimes {
  /** Process that measured it, counted from 1. */
  readonly repeat: number;
  readonly batch: number;
  /** Row of the table, counted from 1. */
  readonly row: number;
  readonly index: number;
  /** Position of the batch's first image in the test set. */
  readonly image: number;
  readonly first: 'original' | 'gated';
  /** Images of the batch by exit, the original classifier last. */
  readonly exits: readonly number[];
}
