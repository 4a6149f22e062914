import type { Interval } from './interval.js';
import { mean, variance } from './moments.js';

// Coefficients of Wichura's algorithm AS 241, PPND16, from the highest power to the constant.
const central = {
  over: [
    2509.0809287301227, 33430.57558358813, 67265.7709270087, 45921.95393154987, 13731.69376550946, 1971.5909503065513,
    133.14166789178438, 3.3871328727963665,
  ],
  under: [
    5226.495278852854, 28729.085735721943, 39307.89580009271, 21213.794301586597, 5394.196021424751, 687.1870074920579,
    42.31333070160091, 1,
  ],
};
const near = {
  over: [
    0.0007745450142783414, 0.022723844989269184, 0.2417807251774506, 1.2704582524523684, 3.6478483247632045,
    5.769497221460691, 4.630337846156546, 1.4234371107496835,
  ],
  under: [
    1.0507500716444169e-9, 0.0005475938084995345, 0.015198666563616457, 0.14810397642748008, 0.6897673349851,
    1.6763848301838038, 2.053191626637759, 1,
  ],
};
const far = {
  over: [
    2.0103343992922881e-7, 2.7115555687434876e-5, 0.0012426609473880784, 0.026532189526576124, 0.29656057182850487,
    1.7848265399172913, 5.463784911164114, 6.657904643501103,
  ],
  under: [
    2.0442631033899397e-15, 1.421511758316446e-7, 1.8463183175100548e-5, 0.0007868691311456133, 0.014875361290850615,
    0.1369298809227358, 0.599832206555888, 1,
  ],
};

/**
 * z with P(Z <= z) = p of a standard normal variable, to 1e-15 (Wichura 1988, algorithm AS 241).
 *
 * @throws RangeError unless 0 < p < 1
 */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`normal quantile of ${p}; valid: between 0 and 1`);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * ratio(central, 0.180625 - q * q);
  const r = Math.sqrt(-Math.log(Math.min(p, 1 - p)));
  return Math.sign(q) * (r <= 5 ? ratio(near, r - 1.6) : ratio(far, r - 5));
}

function ratio({ over, under }: typeof central, x: number): number {
  const polynomial = (coefficients: readonly number[]): number => coefficients.reduce((sum, c) => sum * x + c, 0);
  return polynomial(over) / polynomial(under);
}

/** The standard normal quantile of a two-sided 95 % interval. */
export const Z95 = normalQuantile(0.975);

/**
 * 95 % interval of the mean of independent values, by their standard error; a single value has an interval of width 0.
 */
export function meanInterval(values: ArrayLike<number>): Interval {
  const middle = mean(values);
  const half = values.length > 1 ? Z95 * Math.sqrt(variance(values) / values.length) : 0;
  return { low: middle - half, high: middle + half };
}
