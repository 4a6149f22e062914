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
