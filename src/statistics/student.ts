import type { Interval } from './interval.js';
import { mean, variance } from './moments.js';
import { incompleteBeta } from './special.js';

/**
 * The value that |t| stays below with this probability.
 *
 * @param freedom degrees of freedom, above 0
 * @param confidence between 0 and 1: 0.95
 * @throws RangeError for other arguments, NaN among them
 */
export function studentQuantile(freedom: number, confidence: number): number {
  if (!(freedom > 0 && freedom < Number.POSITIVE_INFINITY && confidence > 0 && confidence < 1)) {
    throw new RangeError(`t quantile at ${confidence} with ${freedom} degrees of freedom; valid: 0 < confidence < 1`);
  }
  // P(|T| > t) = I_x(freedom / 2, 1 / 2), x = freedom / (freedom + t^2)
  const isBeyond = (t: number): boolean => {
    const [x, rest] = [freedom / (freedom + t * t), (t * t) / (freedom + t * t)];
    return incompleteBeta(freedom / 2, 0.5, x, rest) <= 1 - confidence;
  };
  let [low, high] = [0, 1];
  while (!isBeyond(high)) [low, high] = [high, 2 * high];
  for (let middle = (low + high) / 2; low < middle && middle < high; middle = (low + high) / 2) {
    if (isBeyond(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** 95 % interval of the mean of paired differences. @param differences at least two */
export function pairedInterval(differences: readonly number[]): Interval {
  return around(mean(differences), variance(differences) / differences.length, differences.length - 1);
}

/**
 * 95 % interval of mean(b) - mean(a), the two independent and of different variances (Welch 1947); two values each at
 * least.
 */
export function welchInterval(a: readonly number[], b: readonly number[]): Interval {
  const [one, two] = [variance(a) / a.length, variance(b) / b.length];
  const freedom = (one + two) ** 2 / (one ** 2 / (a.length - 1) + two ** 2 / (b.length - 1));
  return around(mean(b) - mean(a), one + two, freedom);
}

/** @param squared standard error, squared; NaN where values are NaN */
function around(middle: number, squared: number, freedom: number): Interval {
  const half = squared > 0 ? studentQuantile(freedom, 0.95) * Math.sqrt(squared) : squared;
  return { low: middle - half, high: middle + half };
}
