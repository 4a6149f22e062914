import { Random } from '../random.js';
import { drawBinomial } from './binomial.js';
import type { Interval } from './interval.js';
import { quantile } from './quantiles.js';

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

export interface BootstrapOptions {
  /** Default 1000. */
  readonly resamples?: number;
  /** Default 0.95. */
  readonly confidence?: number;
  readonly seed: number;
}

/**
 * Percentile intervals of several statistics of counts (Efron 1979): a resample draws as many items as there are, with
 * replacement. Items of one category are alike, so the counts of a resample are drawn at once, from the multinomial
 * distribution: exact, and a thousand resamples take milliseconds for any number of items.
 *
 * @param counts items of each category
 * @param statistics of the counts of a resample; all see the same resamples
 */
export function bootstrapCounts<Name extends string>(
  counts: Int32Array,
  statistics: Readonly<Record<Name, (drawn: Int32Array) => number>>,
  { resamples = 1000, confidence = 0.95, seed }: BootstrapOptions,
): Record<Name, Interval> {
  const random = new Random(seed, 'bootstrap');
  const samples = Array.from({ length: resamples }, () => drawCounts(random, counts));
  const names = Object.keys(statistics) as Name[];
  const intervals = names.map((name) => [name, percentileInterval(samples.map(statistics[name]), confidence)]);
  return Object.fromEntries(intervals) as Record<Name, Interval>;
}

/** Draws from the multinomial distribution, category by category. */
function drawCounts(random: Random, counts: Int32Array): Int32Array {
  let left = counts.reduce((sum, count) => sum + count, 0);
  let leftToDraw = left;
  return counts.map((count) => {
    const drawn = drawBinomial(random, leftToDraw, count / left);
    left -= count;
    leftToDraw -= drawn;
    return drawn;
  });
}
