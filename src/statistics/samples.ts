/** The ends of a confidence interval. Both are NaN if the data held NaN, so that no comparison with an end is true. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** An interval as tables in JSON hold it. */
export type IntervalEnds = readonly [low: number, high: number];

export const endsOf = ({ low, high }: Interval): IntervalEnds => [low, high];

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Sample variance (n - 1). @param values at least two */
export function variance(values: ArrayLike<number>): number {
  const middle = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - middle) ** 2;
  return squares / (values.length - 1);
}

/** The middle value; the mean of the two middle values of an even number. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Far above the rounding error of a product of a share and a count. */
const ROUNDING = 1e-9;

/**
 * The smallest whole number that is at least this share of a count. 0.9 of 10 is 9, even if the product is rounded to
 * 9.000000000000002.
 *
 * @param share 0 to 1, or above
 */
export function leastCount(share: number, count: number): number {
  return Math.ceil(share * count - ROUNDING);
}

/**
 * The smallest value with at least this share of all values at or below it.
 *
 * @param sorted ascending
 * @param share 0 to 1
 */
export function nearestRank(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, leastCount(share, sorted.length) - 1)]!;
}

/**
 * Linear between the two neighbours (Hyndman and Fan's type 7). @param sorted ascending, at least one @param share 0 to
 * 1
 */
export function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

/**
 * The interval of the middle `confidence` of some replicates (percentile method); NaN if a replicate is NaN.
 *
 * @param confidence 0.95: from the 2.5th to the 97.5th percentile
 */
export function percentileInterval(replicates: ArrayLike<number>, confidence: number): Interval {
  const sorted = Float64Array.from(replicates).sort(); // NaN last
  if (Number.isNaN(sorted.at(-1))) return { low: Number.NaN, high: Number.NaN };
  return { low: quantile(sorted, (1 - confidence) / 2), high: quantile(sorted, (1 + confidence) / 2) };
}
