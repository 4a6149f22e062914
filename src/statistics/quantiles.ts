/** Products of a share and a count are exact to far less than this. */
const ROUNDING = 1e-9;

/**
 * The smallest whole number that is at least this share of a count. 0.9 of 10 is 9, also where floating point says
 * 9.000000000000002: rounding asks for no more than was asked for.
 *
 * @param share 0 to 1, or above
 */
export function leastCount(share: number, count: number): number {
  return Math.ceil(share * count - ROUNDING);
}

/**
 * The smallest value that at least this share of all values do not exceed.
 *
 * @param sorted ascending
 * @param share 0 to 1
 */
export function nearestRank(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, leastCount(share, sorted.length) - 1)]!;
}

/** Linear between the two neighbours (Hyndman and Fan's type 7). @param sorted ascending, at least one @param share 0 to 1 */
export function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}
