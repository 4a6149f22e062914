import type { IntervalEnds } from '../statistics/samples.js';
import type { Thresholds } from '../thresholds/evaluate.js';
import type { GuaranteeMethod } from '../thresholds/guarantee.js';
import type { SearchMethod } from '../thresholds/names.js';

/** A row of the paper, shares as fractions. */
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
 * A row of a results table, with the columns of the paper's Tables 1 and 2. Shares are fractions, not percent; a
 * quantity that was not measured is null. `--json` prints rows in this form.
 */
export interface TableRow {
  /** `dg(t1, t2)`, `cascade(t1)`, or `Original`. */
  readonly model: string;
  /** Accuracy margin of the search; null for fixed thresholds and the original. */
  readonly margin: number | null;
  /** Search method; null without a margin. */
  readonly search: SearchMethod | null;
  /** FLOPs that the thresholds were to keep, as a share of the original's; absent where none were asked for. */
  readonly budget?: number;
  /** Share of answers other than the original's that the thresholds were to keep; absent where none was asked for. */
  readonly allowedDisagreement?: number;
  /** Guarantee of the thresholds; null without one. */
  readonly guarantee: RowGuarantee | null;
  /**
   * Thresholds of each part (one list per fold in cross-fitting, seed after seed), null for a closed gate; empty for
   * the original.
   */
  readonly thresholds: readonly (readonly (number | null)[])[];
  /** Null where the images have no labels. */
  readonly accuracy: number | null;
  /** The original's accuracy minus this one's; null without labels. */
  readonly accuracyDrop: number | null;
  /** Average FLOPs per image, gates included. */
  readonly flops: number;
  /** 1 - flops / the original's flops. */
  readonly flopsReduction: number;
  readonly speedMs: number | null;
  readonly speedUp: number | null;
  /** Share of the FLOPs reduction that becomes speed-up, (1 - t/t0) / (1 - F/F0). */
  readonly efficiency: number | null;
  /** Share of images that leave at each exit, the original classifier last. */
  readonly exits: readonly number[];
  /**
   * 95 % score intervals over the evaluation images, paired with the original; thresholds and gates fixed. Null if
   * only sums over images are known.
   */
  readonly intervals: RowIntervals | null;
  /**
   * 95 % intervals with thresholds searched again on choosing images drawn anew, reported images too; absent where they were
   * not asked for.
   */
  readonly chosenAgain?: Pick<RowIntervals, 'accuracyDrop' | 'flopsReduction' | 'disagreement'>;
  /** Seeds of the row, which is their mean. */
  readonly seeds: readonly number[];
  /** Spread over the seeds; null for a single seed. */
  readonly spread: RowSpread | null;
  /** Share of images whose answer differs from the original's, whether right or wrong. */
  readonly disagreement: number;
  /** Largest drop of accuracy of a class, on its images; null without labels. */
  readonly worstClassDrop: number | null;
  /** The paper's row for the same margin, if the experiment reproduces a table of the paper. */
  readonly published?: PublishedRow;
}

/** Ends of intervals, in the units of the row. */
export interface RowIntervals {
  readonly accuracy: IntervalEnds | null;
  readonly accuracyDrop: IntervalEnds | null;
  readonly flops: IntervalEnds;
  readonly flopsReduction: IntervalEnds;
  /** Of images without labels only. */
  readonly disagreement?: IntervalEnds;
}

/**
 * With probability of at least `confidence` over the draw of the selection images, the expected accuracy on new images
 * of the same distribution is at most `drop` below the original's.
 */
interface RowGuarantee {
  readonly drop: number;
  readonly confidence: number;
  /** `agreement`: `drop` is a share of answers other than the original's; no label was used. */
  readonly of?: 'agreement';
  /** How it was tested, unless by the exact test. */
  readonly method?: GuaranteeMethod;
  /** Per part: whether open gates could be certified (otherwise all are closed), the p-value (null without a test), testing images. */
  readonly parts: readonly { readonly open: boolean; readonly pValue: number | null; readonly testedOn: number }[];
}

/** Lowest and highest value over the seeds, and the standard deviation (n - 1). */
export interface Spread {
  readonly lowest: number;
  readonly highest: number;
  readonly deviation: number;
}

export interface RowSpread {
  readonly accuracy: Spread | null;
  readonly accuracyDrop: Spread | null;
  readonly flops: Spread;
  readonly flopsReduction: Spread;
}

/** Digits of a threshold in a console table; files have full precision. */
const DIGITS = 2;

/** `dg(1.25, 2.00)`; folds with different thresholds are separated by bars: `dg(1.25, 2.00 | 1.31, 1.97)`. */
export function modelName(thresholds: readonly Thresholds[], system: 'dg' | 'cascade' = 'dg'): string {
  const shown = thresholds.map((part) => {
    return part.map((t) => (Number.isFinite(t) ? t.toFixed(DIGITS) : 'closed')).join(', ');
  });
  return `${system}(${[...new Set(shown)].join(' | ')})`;
}

/** A row of images without labels: what is lost against the original's answers is agreement, and no accuracy is known. */
export function withoutAccuracy(row: TableRow): TableRow {
  const none = { accuracy: null, accuracyDrop: null };
  const ofAgreement = <T extends { accuracyDrop: IntervalEnds | null }>({ accuracyDrop, ...ends }: T) => {
    return { ...ends, accuracyDrop: null, ...(accuracyDrop && { disagreement: accuracyDrop }) };
  };
  return {
    ...row,
    ...none,
    worstClassDrop: null,
    intervals: row.intervals && { ...ofAgreement(row.intervals), accuracy: null },
    ...(row.chosenAgain && { chosenAgain: ofAgreement(row.chosenAgain) }),
  };
}

/** What several rows of one kind reach over a range of FLOPs, as one number. */
export interface Area {
  /** The search of margins, or `budget`, `disagreement`. */
  readonly rows: SearchMethod | 'budget' | 'disagreement';
  /** Share of the original's FLOPs where the range begins, the same for all; it ends at 1. */
  readonly from: number;
  /** Mean accuracy over the range; agreement with the original where accuracy is not known. */
  readonly area: number;
}

/**
 * The area under accuracy against FLOPs of each kind of rows with at least two of them, divided by the width of the range:
 * straight lines between neighbouring rows and to the original, which sending a random share of the images to each reaches.
 * The range begins where the dearest of the kinds' cheapest rows is, so that all are compared over the same FLOPs.
 *
 * @param rows of a table, the original last
 */
export function areasOf(rows: readonly TableRow[]): Area[] {
  const kinds = new Map<Area['rows'], { share: number; value: number }[]>();
  const pointOf = (row: TableRow) => ({ share: 1 - row.flopsReduction, value: row.accuracy ?? 1 - row.disagreement });
  for (const row of rows) {
    const kind =
      row.budget !== undefined ? 'budget' : row.allowedDisagreement !== undefined ? 'disagreement' : row.search;
    const point = pointOf(row);
    if (kind !== null && point.share < 1) kinds.set(kind, [...(kinds.get(kind) ?? []), point]);
  }
  const curves = [...kinds].filter(([, points]) => points.length > 1);
  const from = Math.max(...curves.map(([, points]) => Math.min(...points.map(({ share }) => share))));
  return curves.map(([kind, points]) => {
    const line = [...points.sort((a, b) => a.share - b.share), { ...pointOf(rows.at(-1)!), share: 1 }];
    const area = line.slice(1).reduce((sum, b, i) => {
      const a = line[i]!;
      if (b.share <= from) return sum;
      const begin = Math.max(a.share, from);
      const atBegin = a.value + ((b.value - a.value) * (begin - a.share)) / (b.share - a.share);
      return sum + ((b.share - begin) * (atBegin + b.value)) / 2;
    }, 0);
    return { rows: kind, from, area: area / (1 - from) };
  });
}
