import { logGamma } from './binomial.js';

/** Density of Student's t. */
function density(t: number, freedom: number): number {
  const scale = logGamma((freedom + 1) / 2) - logGamma(freedom / 2) - 0.5 * Math.log(freedom * Math.PI);
  return Math.exp(scale - ((freedom + 1) / 2) * Math.log1p((t * t) / freedom));
}

/** Chance that t lies between 0 and `to`, by Simpson's rule on 2,000 pieces. */
function upTo(to: number, freedom: number): number {
  const pieces = 2000;
  const width = to / pieces;
  let sum = density(0, freedom) + density(to, freedom);
  for (let i = 1; i < pieces; i++) sum += (i % 2 === 1 ? 4 : 2) * density(i * width, freedom);
  return (sum * width) / 3;
}

/**
 * What |t| stays below with this probability.
 *
 * @param freedom degrees of freedom, at least 1
 * @param confidence below 1: 0.95
 */
export function studentQuantile(freedom: number, confidence: number): number {
  let [low, high] = [0, 1];
  while (upTo(high, freedom) < confidence / 2 && high < 1e3) high *= 2;
  for (let step = 0; step < 50; step++) {
    const middle = (low + high) / 2;
    if (upTo(middle, freedom) < confidence / 2) low = middle;
    else high = middle;
  }
  return high;
}

/** 95 % interval of the mean of paired differences. @param differences at least two */
export function pairedInterval(differences: readonly number[]): readonly [number, number] {
  const { mean, variance } = momentsOf(differences);
  const half = studentQuantile(differences.length - 1, 0.95) * Math.sqrt(variance / differences.length);
  return [mean - half, mean + half];
}

/** 95 % interval of mean(b) - mean(a), the two independent, their variances not the same (Welch 1947). */
export function welchInterval(a: readonly number[], b: readonly number[]): readonly [number, number] {
  const [first, second] = [momentsOf(a), momentsOf(b)];
  const [one, two] = [first.variance / a.length, second.variance / b.length];
  const difference = second.mean - first.mean;
  if (one + two === 0) return [difference, difference];
  const freedom = (one + two) ** 2 / (one ** 2 / (a.length - 1) + two ** 2 / (b.length - 1));
  const half = studentQuantile(freedom, 0.95) * Math.sqrt(one + two);
  return [difference - half, difference + half];
}

function momentsOf(values: readonly number[]): { readonly mean: number; readonly variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, variance: squares / (values.length - 1) };
}
