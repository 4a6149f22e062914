import { expect } from 'chai';
import { binomialCdf, upperLimit, wilson } from '../../src/statistics/binomial.js';
import { normalQuantile } from '../../src/statistics/normal.js';
import { incompleteBeta, logGamma } from '../../src/statistics/special.js';
import { studentQuantile } from '../../src/statistics/student.js';

// Golden values of scipy 1.10, printed by
//
// from scipy import stats, special
// print([[p, stats.norm.ppf(p)] for p in (1e-300, 1e-12, 0.001, 0.025, 0.07, 0.2, 0.5, 0.75, 0.95, 0.9999, 1 -
//     1e-9)])
// print([[v, c, stats.t.ppf((1 + c) / 2, v)] for v, c in ((1, 0.95), (1, 0.9999), (2, 0.95), (3.7, 0.95), (9,
//     0.01), (30, 0.99), (1e3, 0.95), (1e6, 0.95))])
// print([[a, b, x, special.betainc(a, b, x)] for a, b, x in ((0.5, 0.5, 0.3), (2, 3.5, 0.9), (500, 0.5, 0.999),
//     (43, 9958, 0.005))])
// print([[k, n, p, stats.binom.cdf(k, n, p)] for k, n, p in ((6, 2500, 0.005), (0, 100, 0.3), (3, 10, 0.25),
//     (480, 1000, 0.5), (999, 1000, 0.999), (4900, 10000, 0.5), (20, 10000, 0.005))])
// print([[k, n, a, special.betaincinv(k + 1, n - k, 1 - a)] for k, n, a in ((0, 100, 0.05), (3, 100, 0.05), (42,
//     10000, 0.0025), (9999, 10000, 0.05))])
// print([[x, special.gammaln(x)] for x in (0.5, 1.5, 5, 10001, 1e6)])
// print([[k, n, *stats.binomtest(k, n).proportion_ci(0.95, 'wilson')] for k, n in ((8, 10), (0, 10), (10, 10),
//     (50, 100), (1, 1000))])
const normal = [
  [1e-300, -37.0470962993612],
  [1e-12, -7.034483825301131],
  [0.001, -3.090232306167813],
  [0.025, -1.9599639845400545],
  [0.07, -1.4757910281791706],
  [0.2, -0.8416212335729142],
  [0.5, 0],
  [0.75, 0.6744897501960817],
  [0.95, 1.6448536269514722],
  [0.9999, 3.719016485455709],
  [1 - 1e-9, 5.997807019601637],
] as const;
const student = [
  [1, 0.95, 12.706204736432095],
  [1, 0.9999, 6366.1976656379375],
  [2, 0.95, 4.302652729911275],
  [3.7, 0.95, 2.8675207071912086],
  [9, 0.01, 0.012885834831949272],
  [30, 0.99, 2.7499956535670305],
  [1e3, 0.95, 1.9623390808264074],
  [1e6, 0.95, 1.9599663568141066],
] as const;
const beta = [
  [0.5, 0.5, 0.3, 0.3690101195655454],
  [2, 3.5, 0.9, 0.9986876547710302],
  [500, 0.5, 0.999, 0.317310447309558],
  [43, 9958, 0.005, 0.8571232794869492],
] as const;

const binomial = [
  [6, 2500, 0.005, 0.034246788615113016],
  [0, 100, 0.3, 3.2344765096247705e-16],
  [3, 10, 0.25, 0.7758750915527344],
  [480, 1000, 0.5, 0.10872414660207046],
  [999, 1000, 0.999, 0.6323045752290363],
  [4900, 10000, 0.5, 0.023292763852473617],
  [20, 10000, 0.005, 1.1795508418184562e-6],
] as const;
const clopperPearson = [
  [0, 100, 0.05, 0.029513049607039998],
  [3, 100, 0.05, 0.07571079374983003],
  [42, 10000, 0.0025, 0.006363543844078112],
  [9999, 10000, 0.05, 0.9999948706837163],
] as const;
const gamma = [
  [0.5, 0.5723649429247],
  [1.5, -0.12078223763524526],
  [5, 3.1780538303479458],
  [10001, 82108.92783681436],
  [1e6, 12815504.569147611],
] as const;
const wilson95 = [
  [8, 10, 0.4901624715366418, 0.9433178485456248],
  [0, 10, 0, 0.27753279986288926],
  [10, 10, 0.7224672001371109, 1],
  [50, 100, 0.4038315303659956, 0.5961684696340044],
  [1, 1000, 0.00017654637062607809, 0.0056425585979579355],
] as const;

/** Equal up to this relative error. */
function expectNear(found: number, golden: number, error: number, what: string): void {
  expect(Math.abs(found - golden), `${what}: ${found}, not ${golden}`).to.be.at.most(error * Math.abs(golden));
}

describe("statistics against scipy's values", () => {
  it('normal quantiles', () => {
    for (const [p, z] of normal) expectNear(normalQuantile(p), z, 1e-14, `P ${p}`);
  });

  it("Student's quantiles", () => {
    for (const [freedom, confidence, t] of student) {
      expectNear(studentQuantile(freedom, confidence), t, 1e-9, `${freedom} degrees, ${confidence}`);
    }
  });

  it('the incomplete beta function', () => {
    for (const [a, b, x, value] of beta) expectNear(incompleteBeta(a, b, x), value, 1e-10, `${a}, ${b}, ${x}`);
    expect([incompleteBeta(2, 3, 0), incompleteBeta(2, 3, 1)]).to.deep.equal([0, 1]);
  });

  it('binomial probabilities', () => {
    for (const [k, n, p, probability] of binomial) {
      expectNear(binomialCdf(k, n, p), probability, 1e-10, `${k} of ${n} at ${p}`);
    }
  });

  it("Clopper and Pearson's limit", () => {
    for (const [k, n, level, limit] of clopperPearson) {
      expectNear(upperLimit(k, n, level), limit, 1e-11, `${k} of ${n} at ${level}`);
    }
  });

  it('ln of the gamma function', () => {
    for (const [x, value] of gamma) expectNear(logGamma(x), value, 1e-13, `${x}`);
  });

  it("Wilson's intervals, and the whole of [0, 1] without trials", () => {
    for (const [k, n, low, high] of wilson95) {
      expectNear(wilson(k, n).low, low, 1e-13, `${k} of ${n}`);
      expectNear(wilson(k, n).high, high, 1e-13, `${k} of ${n}`);
    }
    expect(wilson(0, 0)).to.deep.equal({ low: 0, high: 1 });
  });
});

describe('arguments that are not probabilities or counts', () => {
  it('are refused by quantiles and tails', () => {
    for (const p of [Number.NaN, 0, 1, -0.1, 1.1]) expect(() => normalQuantile(p), `${p}`).to.throw(RangeError);
    for (const freedom of [Number.NaN, 0, -1, Number.POSITIVE_INFINITY]) {
      expect(() => studentQuantile(freedom, 0.95), `${freedom}`).to.throw(RangeError);
    }
    for (const confidence of [Number.NaN, 0, 1, 2]) {
      expect(() => studentQuantile(3, confidence), `${confidence}`).to.throw(RangeError);
    }
    for (const [k, n, p] of [
      [Number.NaN, 10, 0.5],
      [1, Number.NaN, 0.5],
      [1, 10, Number.NaN],
    ] as const) {
      expect(() => binomialCdf(k, n, p), `${k} ${n} ${p}`).to.throw(RangeError);
    }
  });
});
