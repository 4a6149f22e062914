/** The ends of a confidence interval; both are NaN if the data held NaN. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** An interval in JSON tables. */
export type IntervalEnds = readonly [low: number, high: number];

export const endsOf = ({ low, high }: Interval): IntervalEnds => [low, high];

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Sample variance (n - 1). @param values at least two */
export function variance(values: ArrayLike<number>): number {
  const middle = mean(values);
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - middle) ** 2;
  return squares / (values.length - 1);
}

export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** The smallest whole number that is at least this share of a count, despite rounding: 0.9 of 10 is 9, not 10. */
export function leastCount(share: number, count: number): number {
  return Math.ceil(share * count - 1e-9);
}

/** The smallest value with at least this share of all values at or below it. @param sorted ascending @param share 0 to 1 */
export function nearestRank(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, leastCount(share, sorted.length) - 1)]!;
}

/** Linear interpolation (Hyndman and Fan's type 7). @param sorted ascending, at least one @param share 0 to 1 */
export function quantile(sorted: Float64Array, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

/** Percentile interval of replicates; NaN if one is NaN. @param confidence 0.95: from the 2.5th to the 97.5th percentile */
export function percentileInterval(replicates: ArrayLike<number>, confidence: number): Interval {
  const sorted = Float64Array.from(replicates).sort(); // NaN last
  if (Number.isNaN(sorted.at(-1))) return { low: Number.NaN, high: Number.NaN };
  return { low: quantile(sorted, (1 - confidence) / 2), high: quantile(sorted, (1 + confidence) / 2) };
}

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

/** The regularised incomplete beta function I_x(a, b). @param a, b at least 0.5 @param rest 1 - x, if known more exactly */
export function incompleteBeta(a: number, b: number, x: number, rest = 1 - x): number {
  if (x === 0 || rest === 0) return x;
  // The fraction converges fast below the mean; above it, I_x(a, b) = 1 - I_(1-x)(b, a).
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, rest, x);
  const scale = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(rest));
  // Abramowitz and Stegun 26.5.8.
  const fraction = continuedFraction(1, (n) => {
    const m = n >> 1;
    const even = (m * (b - m) * x) / ((a + n - 1) * (a + n));
    return [n % 2 === 0 ? even : (-(a + m) * (a + b + m) * x) / ((a + n - 1) * (a + n)), 1];
  });
  return (scale / a) * fraction;
}

/** 1 / (b0 + a1 / (b1 + a2 / (b2 + ...))) by Lentz's method. @param next [a_n, b_n], n from 1 */
function continuedFraction(b0: number, next: (n: number) => readonly [a: number, b: number]): number {
  let [c, d] = [Number.POSITIVE_INFINITY, 1 / b0];
  let product = d;
  for (let n = 1; n < 10_000; n++) {
    const [a, b] = next(n);
    d = 1 / (a * d + b);
    c = b + a / c;
    product *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return product;
}

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

/** Standard normal quantile to 1e-15 (Wichura 1988, algorithm AS 241). @throws RangeError unless 0 < p < 1 */
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

/** 95 % interval of the mean of independent values, by their standard error; of width 0 for a single value. */
export function meanInterval(values: ArrayLike<number>): Interval {
  const middle = mean(values);
  const half = values.length > 1 ? Z95 * Math.sqrt(variance(values) / values.length) : 0;
  return { low: middle - half, high: middle + half };
}

/**
 * Two-sided quantile of Student's t: P(|T| < result) = confidence.
 *
 * @param freedom degrees of freedom, above 0
 * @throws RangeError unless freedom is positive and 0 < confidence < 1
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

/** 95 % interval of mean(b) - mean(a) of independent samples with different variances (Welch 1947). @param a, b at least two values */
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

/** Probability of k successes in n trials. */
export function binomialMass(k: number, n: number, p: number): number {
  if (k < 0 || k > n) return 0;
  if (p <= 0 || p >= 1) return Number(k === (p <= 0 ? 0 : n));
  const ways = logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);
  return Math.exp(ways + k * Math.log(p) + (n - k) * Math.log1p(-p));
}

/** Probability of at most k successes in n trials, summed from the largest term down. @throws RangeError for NaN */
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

/** Upper confidence limit of a share (Clopper and Pearson 1934): the largest p with P(at most k of n) >= `level`. */
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
  // Exactly 0 and 1, despite rounding, if none or all succeeded.
  return {
    low: successes === 0 ? 0 : Math.max(0, middle - half),
    high: successes === count ? 1 : Math.min(1, middle + half),
  };
}

/**
 * 95 % score interval of the difference of two paired shares, first minus second (Tango 1998, Statistics in Medicine 17,
 * 891-908). If no pair of n differs it is about +-3.84 / n, where resampling gives no width.
 *
 * @param lost pairs in which only the first succeeded
 * @param gained pairs in which only the second succeeded
 * @param count all pairs; [-1, 1] for 0
 */
export function pairedDifference(lost: number, gained: number, count: number): Interval {
  if (count === 0) return { low: -1, high: 1 };
  const estimate = (lost - gained) / count;
  /** Falls as the difference grows; 0 at the estimate. */
  const score = (difference: number): number => {
    // q: maximum-likelihood share of gained pairs under this difference.
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

/** Where a condition that holds at `low` ceases to hold, by bisection. */
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
 * 95 % interval of the mean of categorical values, after adding z^2 items in equal parts to all categories: Agresti and Coull
 * (1998), for any number of categories. Valid for rare categories.
 *
 * @param counts items of each category
 * @param values value of each category
 */
export function meanOfCounts(counts: ArrayLike<number>, values: readonly number[]): Interval {
  const added = Z95 ** 2 / values.length;
  const count = values.reduce((sum, _, i) => sum + counts[i]! + added, 0);
  const mean = values.reduce((sum, value, i) => sum + (counts[i]! + added) * value, 0) / count;
  const variance = values.reduce((sum, value, i) => sum + (counts[i]! + added) * (value - mean) ** 2, 0) / count;
  const half = Z95 * Math.sqrt(variance / count);
  return { low: Math.max(Math.min(...values), mean - half), high: Math.min(Math.max(...values), mean + half) };
}
