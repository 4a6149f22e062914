import type { IntervalEnds } from '../statistics/interval.js';
import type { Thresholds } from '../thresholds/evaluate.js';
import type { SearchMethod } from '../thresholds/methods.js';

/** A row as the paper printed it, shares as fractions. */
export interface PublishedRow {
  readonly model: string;
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly flopsReduction: number | null;
  readonly speedMs: number | null;
  readonly speedUp: number | null;
}

/**
 * One row of a results table, in the columns of the paper's Tables 1 and 2. Shares are fractions, not percent; a
 * quantity that was not measured is null. This is the shape of a row in `--json`.
 */
export interface TableRow {
  /** `dg(t1, t2)`, or `Original`. */
  readonly model: string;
  /** Accuracy margin that thresholds were searched for; null for fixed thresholds and the original. */
  readonly margin: number | null;
  /** How they were searched; null where they were not searched for a margin. */
  readonly search: SearchMethod | null;
  /** What is promised of them; null where nothing is. */
  readonly guarantee: RowGuarantee | null;
  /**
   * Thresholds of each part (one list per fold in cross-fitting, seed after seed where there are several), null for a
   * gate that is closed; empty for the original.
   */
  readonly thresholds: readonly (readonly (number | null)[])[];
  readonly accuracy: number;
  /** The original's accuracy minus this one's. */
  readonly accuracyDrop: number;
  /** Average FLOPs per image, gates included. */
  readonly flops: number;
  /** 1 - flops / the original's flops. */
  readonly flopsReduction: number;
  readonly speedMs: number | null;
  readonly speedUp: number | null;
  /** Share of the FLOPs reduction that arrives as time, (1 - t/t0) / (1 - F/F0). */
  readonly efficiency: number | null;
  /** Share of images that leave at each exit, the original classifier last. */
  readonly exits: readonly number[];
  /**
   * 95 % bootstrap intervals over the choice of the reported images, paired against the original; thresholds and gates
   * as they are. Null where only sums over images are known.
   */
  readonly intervals: RowIntervals | null;
  /** Seeds that the row is the mean of; one, unless several were run. */
  readonly seeds: readonly number[];
  /** How the seeds differ; null for a single one. */
  readonly spread: RowSpread | null;
  /** What the paper printed for the same margin, where the experiment reproduces a table of it. */
  readonly published?: PublishedRow;
}

/** Ends of intervals: lower, upper. Units as in the row. */
export interface RowIntervals {
  readonly accuracy: IntervalEnds;
  readonly accuracyDrop: IntervalEnds;
  readonly flops: IntervalEnds;
  readonly flopsReduction: IntervalEnds;
}

/**
 * With probability `confidence` at least, over the draw of the images that chose, the expected accuracy on new images of
 * the same distribution is at most `drop` below the original's.
 */
export interface RowGuarantee {
  readonly drop: number;
  readonly confidence: number;
  /** Per part: whether open gates could be certified (else all are closed), by which p-value, on how many images. */
  readonly parts: readonly { readonly open: boolean; readonly pValue: number; readonly testedOn: number }[];
}

/** Lowest and highest value over the seeds, and the standard deviation (n - 1). */
export interface Spread {
  readonly lowest: number;
  readonly highest: number;
  readonly deviation: number;
}

export interface RowSpread {
  readonly accuracy: Spread;
  readonly accuracyDrop: Spread;
  readonly flops: Spread;
  readonly flopsReduction: Spread;
}

/** Digits of a threshold in a console table; files have all of them. */
const DIGITS = 2;

/** `dg(1.25, 2.00)`; folds with different thresholds are separated by a bar: `dg(1.25, 2.00 | 1.31, 1.97)`. */
export function modelName(thresholds: readonly Thresholds[]): string {
  const shown = thresholds.map((part) => {
    return part.map((t) => (Number.isFinite(t) ? t.toFixed(DIGITS) : 'closed')).join(', ');
  });
  return `dg(${[...new Set(shown)].join(' | ')})`;
}
