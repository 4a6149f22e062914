import type { Random } from '../random.js';

// Lanczos' approximation, g = 7, nine coefficients: relative error below 1e-14.
const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** ln of the gamma function. @param x at least 0.5 */
export function logGamma(x: number): number {
  const z = x - 1;
  const base = z + 7.5;
  const sum = lanczos.reduce((total, c, i) => (i === 0 ? c : total + c / (z + i)), 0);
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(base) - base + Math.log(sum);
}

/** Probability of k successes in n trials. */
export function binomialMass(k: number, n: number, p: number): number {
  if (k < 0 || k > n) return 0;
  if (p <= 0 || p >= 1) return Number(k === (p <= 0 ? 0 : n));
  const ways = logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);
  return Math.exp(ways + k * Math.log(p) + (n - k) * Math.log1p(-p));
}

/** Probability of at most k successes in n trials, summed from the larger terms to the smaller. */
export function binomialCdf(k: number, n: number, p: number): number {
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
 * Upper confidence limit of a share (Clopper and Pearson 1934): the largest p under which at most k successes in n
 * trials are no rarer than `level`.
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

/**
 * Number of successes in n trials, drawn by inversion from the mode outwards: exact up to the rounding of the
 * probabilities, in about sqrt(n p (1 - p)) steps.
 */
export function drawBinomial(random: Random, n: number, p: number): number {
  if (n === 0 || p <= 0) return 0;
  if (p >= 1) return n;
  const mode = Math.min(n, Math.floor((n + 1) * p));
  const odds = p / (1 - p);
  const atMode = binomialMass(mode, n, p);
  let rest = random.uniform() - atMode;
  let [below, above] = [atMode, atMode];
  for (let distance = 1; rest >= 0 && distance <= n; distance++) {
    const [low, high] = [mode - distance, mode + distance];
    if (low >= 0) {
      below *= (low + 1) / ((n - low) * odds);
      rest -= below;
      if (rest < 0) return low;
    }
    if (high <= n) {
      above *= ((n - high + 1) / high) * odds;
      rest -= above;
      if (rest < 0) return high;
    }
    if (below + above === 0) break; // what is left of the uniform number is rounding
  }
  return mode;
}
