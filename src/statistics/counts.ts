import type { Interval } from './interval.js';
import { Z95 } from './normal.js';

/**
 * 95 % score interval of the difference of two paired shares (Tango 1998, Statistics in Medicine 17, 891-908): the
 * differences that a score test does not reject. It stays honest where few pairs differ: of none in n it is about
 * +-3.84 / n wide, where resampling gives no width at all.
 *
 * @param lost pairs in which only the first succeeded
 * @param gained pairs in which only the second did
 * @param count all pairs; [-1, 1] without any
 * @returns of the first's share minus the second's, (lost - gained) / count
 */
export function pairedDifference(lost: number, gained: number, count: number): Interval {
  if (count === 0) return { low: -1, high: 1 };
  const estimate = (lost - gained) / count;
  /** Falls as the difference grows; 0 at the estimate. */
  const score = (difference: number): number => {
    // The share of pairs in which only the second succeeded, at its greatest likelihood under this difference.
    const b = (2 * count - lost + gained) * difference - lost - gained;
    const c = -gained * difference * (1 - difference);
    const q = (Math.sqrt(Math.max(0, b * b - 8 * count * c)) - b) / (4 * count);
    const distance = lost - gained - count * difference;
    return distance / Math.sqrt(count * Math.max(Number.MIN_VALUE, 2 * q + difference * (1 - difference)));
  };
  return {
    low: crossing((difference) => score(difference) > Z95, -1, estimate),
    high: crossing((difference) => score(difference) > -Z95, estimate, 1),
  };
}

/** Where a condition that holds from `low` on ceases to hold, by halving. */
function crossing(holds: (value: number) => boolean, low: number, high: number): number {
  let [from, to] = [low, high];
  for (let step = 0; step < 60 && from < to; step++) {
    const middle = (from + to) / 2;
    if (holds(middle)) from = middle;
    else to = middle;
  }
  return (from + to) / 2;
}

/**
 * 95 % interval of the mean of items of which each category has one value: z^2 items are added in equal parts to all
 * categories (Agresti and Coull 1998, for any number of categories). With two values it is theirs; it stays honest where
 * hardly any item is of a category.
 *
 * @param counts items of each category
 * @param values of each category
 */
export function meanOfCounts(counts: ArrayLike<number>, values: readonly number[]): Interval {
  const added = Z95 ** 2 / values.length;
  const count = values.reduce((sum, _, i) => sum + counts[i]! + added, 0);
  const mean = values.reduce((sum, value, i) => sum + (counts[i]! + added) * value, 0) / count;
  const variance = values.reduce((sum, value, i) => sum + (counts[i]! + added) * (value - mean) ** 2, 0) / count;
  const half = Z95 * Math.sqrt(variance / count);
  return { low: Math.max(Math.min(...values), mean - half), high: Math.min(Math.max(...values), mean + half) };
}
