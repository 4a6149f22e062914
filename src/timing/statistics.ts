import { nearestRank } from '../statistics/quantiles.js';

/** What is said of a list of times, in milliseconds. */
export interface TimeSummary {
  readonly mean: number;
  readonly median: number;
  /** The smallest time that at least 90 % of the others do not exceed (nearest rank, as MLPerf's). */
  readonly p90: number;
  readonly least: number;
}

/** @throws RangeError where there are no values */
export function summarise(values: readonly number[]): TimeSummary {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) throw new RangeError('no times');
  return { mean: mean(values), median: middle(sorted), p90: nearestRank(sorted, 0.9), least: sorted[0]! };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The middle value; of two, their average. */
export function median(values: readonly number[]): number {
  return middle(Float64Array.from(values).sort());
}

function middle(sorted: Float64Array): number {
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
