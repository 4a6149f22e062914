import { upperGamma } from './special.js';

/** P(X >= statistic) of a chi-squared variable. @param freedom degrees of freedom; without any, the tail is 1 */
export function chiSquaredTail(statistic: number, freedom: number): number {
  return freedom < 1 || statistic <= 0 ? 1 : upperGamma(freedom / 2, statistic / 2);
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
