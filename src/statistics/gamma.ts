import { logGamma } from './binomial.js';

/** Chance of a chi-squared at least this large: the upper regularised incomplete gamma function Q(freedom / 2, x / 2). */
export function chiSquaredTail(statistic: number, freedom: number): number {
  if (freedom < 1 || statistic <= 0) return 1;
  const [a, x] = [freedom / 2, statistic / 2];
  const scale = Math.exp(a * Math.log(x) - x - logGamma(a));
  return x < a + 1 ? 1 - scale * lowerSeries(a, x) : scale * upperFraction(a, x);
}

/** P(a, x) / scale as a power series (Abramowitz and Stegun 6.5.29); for x below a + 1. */
function lowerSeries(a: number, x: number): number {
  let [term, sum] = [1 / a, 1 / a];
  for (let n = 1; term > 1e-17 * sum; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum;
}

/** Q(a, x) / scale as a continued fraction (Abramowitz and Stegun 6.5.31), by Lentz's method; for x from a + 1 on. */
function upperFraction(a: number, x: number): number {
  let b = x + 1 - a;
  let [c, d] = [1e300, 1 / b];
  let product = d;
  for (let n = 1; n < 10_000; n++) {
    b += 2;
    d = 1 / (n * (a - n) * d + b);
    c = b + (n * (a - n)) / c;
    product *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return product;
}
