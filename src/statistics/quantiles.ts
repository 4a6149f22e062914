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
