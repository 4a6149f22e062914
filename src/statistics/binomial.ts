import type { Interval } from './interval.js';
import { Z95 } from './normal.js';
import { logGamma } from './special.js';

/** Probability of k successes in n trials. */
export function binomialMass(k: number, n: number, p: number): number {
  if (k < 0 || k > n) return 0;
  if (p <= 0 || p >= 1) return Number(k === (p <= 0 ? 0 : n));
  const ways = logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);
  return Math.exp(ways + k * Math.log(p) + (n - k) * Math.log1p(-p));
}

/**
 * Probability of at most k successes in n trials, summed from the larger terms to the smaller.
 *
 * @throws RangeError where an argument is NaN
 */
export function binomialCdf(k: number, n: number, p: number): number {
  if (Number.isNaN(k + n + p)) throw new RangeError(`probability of at most ${k} of ${n} at ${p}`);
  if (k < 0) return 0;
  if (k >= n || p <= 0) return 1;
  if (p >= 1) return 0;
  if (k > n * p) return 1 - binomialCdf(n - k - 1, n, 1 - p);
  let [term, sum] = [binomialMass(k, n, p), 0];
  for (let i = k; i >= 0 && term > sum * 1e-17; i--) {
    sum += term;
    term *= (i / (n - i + 1)) * ((1 - p) / p);
  }
  return Math.min(1, sum);
}

/**
 * Upper confidence limit of a share (Clopper and Pearson 1934): the largest p at which at most k successes in n trials
 * have a probability of at least `level`.
 */
export function upperLimit(k: number, n: number, level: number): number {
  if (k >= n) return 1;
  let [low, high] = [k / n, 1];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (binomialCdf(k, n, middle) <= level) high = middle;
    else low = middle;
  }
  return high;
}

/** Wilson's interval of a share (Wilson 1927), 95 % by default; [0, 1] without trials. @param z normal quantile of its end */
export function wilson(successes: number, count: number, z = Z95): Interval {
  if (count === 0) return { low: 0, high: 1 };
  const share = successes / count;
  const z2 = z ** 2 / count;
  const middle = (share + z2 / 2) / (1 + z2);
  const half = (z * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count))) / (1 + z2);
  // Exactly 0 and 1 where none or all succeeded: rounding would miss them.
  return {
    low: successes === 0 ? 0 : Math.max(0, middle - half),
    high: successes === count ? 1 : Math.min(1, middle + half),
  };
}
