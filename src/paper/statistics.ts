import { Random } from '../random.js';
import { quantile } from '../statistics/quantiles.js';

export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Standard normal quantile of a two-sided 95 % interval. */
const Z95 = 1.959964;

/** Wilson's 95 % interval of a share (Wilson 1927); the whole of [0, 1] where nothing was counted. */
export function wilson(successes: number, count: number): Interval {
  if (count === 0) return { low: 0, high: 1 };
  const share = successes / count;
  const z2 = Z95 ** 2 / count;
  const middle = (share + z2 / 2) / (1 + z2);
  const half = (Z95 * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count))) / (1 + z2);
  // The exact ends where none or all succeeded, which rounding would miss.
  return {
    low: successes === 0 ? 0 : Math.max(0, middle - half),
    high: successes === count ? 1 : Math.min(1, middle + half),
  };
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** 95 % interval of the mean of independent values, by their standard error. */
export function meanInterval(values: ArrayLike<number>): Interval {
  const middle = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - middle) ** 2;
  const half = values.length > 1 ? Z95 * Math.sqrt(squares / (values.length - 1) / values.length) : 0;
  return { low: middle - half, high: middle + half };
}

/**
 * Means of several values per image over images drawn with replacement (Efron's bootstrap); the same draw serves all
 * values, so differences between them stay paired.
 *
 * @param values [images, columns] row-major
 * @returns [replicates, columns] row-major
 */
export function bootstrapMeans(values: Float32Array, columns: number, replicates: number, seed: number): Float64Array {
  const images = values.length / columns;
  const random = new Random(seed, 'bootstrap');
  const means = new Float64Array(replicates * columns);
  const sums = new Float64Array(columns);
  for (let replicate = 0; replicate < replicates; replicate++) {
    sums.fill(0);
    for (let draw = 0; draw < images; draw++) {
      const start = random.below(images) * columns;
      for (let column = 0; column < columns; column++) sums[column]! += values[start + column]!;
    }
    for (let column = 0; column < columns; column++) means[replicate * columns + column] = sums[column]! / images;
  }
  return means;
}

/** The interval that holds the middle `level` of some replicates (percentile method). @param level 0.95: 95 % */
export function percentileInterval(replicates: ArrayLike<number>, level: number): Interval {
  const sorted = Float64Array.from(replicates).sort();
  return { low: quantile(sorted, (1 - level) / 2), high: quantile(sorted, (1 + level) / 2) };
}

/** Pearson's chi-squared of a table of counts, and its degrees of freedom; rows and columns without counts left out. */
export function chiSquared(counts: readonly (readonly number[])[]): {
  readonly statistic: number;
  readonly freedom: number;
} {
  const rows = counts.map((row) => row.reduce((sum, value) => sum + value, 0));
  const columns = (counts[0] ?? []).map((_, j) => counts.reduce((sum, row) => sum + row[j]!, 0));
  const total = rows.reduce((sum, value) => sum + value, 0);
  let statistic = 0;
  counts.forEach((row, i) => {
    row.forEach((value, j) => {
      const expected = (rows[i]! * columns[j]!) / total;
      if (expected > 0) statistic += (value - expected) ** 2 / expected;
    });
  });
  const used = (sums: readonly number[]): number => sums.filter((sum) => sum > 0).length;
  return { statistic, freedom: (used(rows) - 1) * (used(columns) - 1) };
}
