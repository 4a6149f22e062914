import type { Thresholds } from '../thresholds/evaluate.js';
import type { PublishedRow } from './published.js';

/**
 * One row of a results table, in the columns of the paper's Tables 1 and 2. Shares are fractions, not percent; a
 * quantity that was not measured is null. This is the shape of a row in `--json`.
 */
export interface TableRow {
  /** `dg(t1, t2)`, or `Original`. */
  readonly model: string;
  /** Accuracy margin that thresholds were searched for; null for fixed thresholds and the original. */
  readonly margin: number | null;
  /**
   * Thresholds of each part (one list per fold in cross-fitting), null for a gate that is closed; empty for the
   * original.
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
  /** Share of images that leave at each exit, the original classifier last. */
  readonly exits: readonly number[];
  /** What the paper printed for the same margin, where the experiment reproduces a table of it. */
  readonly published?: PublishedRow;
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
