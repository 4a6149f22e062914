import { mean, median } from '../statistics/moments.js';
import { nearestRank } from '../statistics/quantiles.js';

/** Summary of a list of times, in milliseconds. */
export interface TimeSummary {
  readonly mean: number;
  readonly median: number;
  /** The smallest time that at least 90 % of the times do not exceed (nearest rank, as in MLPerf). */
  readonly p90: number;
  readonly least: number;
}

/** @throws RangeError for an empty list */
export function summarise(values: readonly number[]): TimeSummary {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) throw new RangeError('no times');
  return { mean: mean(values), median: median(values), p90: nearestRank(sorted, 0.9), least: sorted[0]! };
}
