/** Relative error at which series and continued fractions end. */
const EPSILON = 1e-15;
const MOST_TERMS = 10_000;

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

/**
 * The regularised incomplete beta function I_x(a, b).
 *
 * @param a at least 0.5
 * @param b at least 0.5
 * @param x 0 to 1
 * @param rest 1 - x, where the caller knows it more exactly
 */
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
  for (let n = 1; n < MOST_TERMS; n++) {
    const [a, b] = next(n);
    d = 1 / (a * d + b);
    c = b + a / c;
    product *= c * d;
    if (Math.abs(c * d - 1) < EPSILON) break;
  }
  return product;
}
