import { expect } from 'chai';
import { Random } from '../../src/random.js';
import {
  binomialCdf,
  binomialMass,
  incompleteBeta,
  logGamma,
  meanOfCounts,
  normalQuantile,
  pairedDifference,
  pairedInterval,
  studentQuantile,
  upperLimit,
  welchInterval,
  wilson,
} from '../../src/statistics/intervals.js';

describe('intervals of differences', () => {
  const rounded = ({ low, high }: ReturnType<typeof pairedInterval>) => [low, high].map((end) => +end.toFixed(4));

  it('are those of the mean difference, paired or independent', () => {
    expect(rounded(pairedInterval([1, 2, 3]))).to.deep.equal([-0.4841, 4.4841]); // 2 +- 4.3027 / sqrt(3)
    expect(rounded(welchInterval([1, 2, 3], [2, 3, 4]))).to.deep.equal([-1.267, 3.267]); // 1 +- 2.7764 sqrt(2/3)
  });

  it('have width 0 where nothing varies', () => {
    expect(welchInterval([1, 1], [3, 3])).to.deep.equal({ low: 2, high: 2 });
    expect(pairedInterval([2, 2])).to.deep.equal({ low: 2, high: 2 });
  });

  it('are NaN, not narrow, where a value is NaN or a sample has no variance to estimate', () => {
    const unknown = { low: Number.NaN, high: Number.NaN };
    expect(pairedInterval([1, Number.NaN, 3])).to.deep.equal(unknown);
    expect(welchInterval([1, Number.NaN], [3, 4])).to.deep.equal(unknown);
    expect(welchInterval([1], [3, 4])).to.deep.equal(unknown);
    expect(pairedInterval([1])).to.deep.equal(unknown);
  });
});

describe('binomial numbers', () => {
  it('have the right probabilities', () => {
    expect(binomialMass(3, 10, 0.25)).to.be.closeTo((120 * 3 ** 7) / 4 ** 10, 1e-14);
    expect([binomialMass(0, 5, 0), binomialMass(5, 5, 1), binomialMass(6, 5, 0.5)]).to.deep.equal([1, 1, 0]);
    for (const [n, p] of [
      [1, 0.3],
      [20, 0.05],
      [50, 0.9],
    ] as const) {
      let sum = 0;
      for (let k = 0; k <= n; k++) {
        sum += binomialMass(k, n, p);
        expect(binomialCdf(k, n, p)).to.be.closeTo(sum, 1e-12);
      }
    }
    expect(upperLimit(0, 100, 0.05)).to.be.closeTo(1 - 0.05 ** 0.01, 1e-12);
  });
});

/** Poisson by Knuth's products, in steps that do not underflow. */
function poisson(random: Random, mean: number): number {
  let count = -1;
  for (let left = mean; left >= 0; count++) left += Math.log(1 - random.uniform());
  return count;
}

/** lost, gained, count; ends by a separate implementation in Python, halving on Tango's equation 3. */
const golden = [
  [1, 1, 44, -0.099015762611, 0.099015762611],
  [12, 2, 14, 0.201172410061, 0.919812157457],
  [0, 0, 800, -0.004778876206, 0.004778876206],
  [43, 0, 44, 0.818506419841, 0.99597674794],
  [9, 5, 32, -0.108819136025, 0.345982948412],
  [300, 120, 10000, 0.014056184661, 0.022087667514],
] as const;

describe('the interval of a paired difference', () => {
  it("is Tango's", () => {
    for (const [lost, gained, count, low, high] of golden) {
      const found = pairedDifference(lost, gained, count);
      expect(found.low).to.be.closeTo(low, 1e-9);
      expect(found.high).to.be.closeTo(high, 1e-9);
    }
  });

  it('turns round with the pairs, and holds the estimate', () => {
    for (const [lost, gained, count] of [
      [0, 0, 1],
      [1, 0, 1],
      [3, 8, 50],
      [0, 7, 10_000],
      [50, 0, 50],
    ] as const) {
      const [a, b] = [pairedDifference(lost, gained, count), pairedDifference(gained, lost, count)];
      expect(a.low).to.be.closeTo(-b.high, 1e-12);
      expect((lost - gained) / count).to.be.within(a.low - 1e-12, a.high + 1e-12);
      expect(a.low).to.be.at.least(-1);
      expect(a.high).to.be.at.most(1);
    }
    expect(pairedDifference(0, 0, 0)).to.deep.equal({ low: -1, high: 1 });
  });

  it('holds the true difference in 93 of 100 draws and more, from half an expected change to a hundred', () => {
    const random = new Random(0, 'paired coverage');
    for (const share of [0.5, 0.7, 1]) {
      for (const changes of [0.5, 1, 2, 5, 10, 30, 100]) {
        const truth = (changes * (2 * share - 1)) / 10_000;
        const known = new Map<string, boolean>();
        let held = 0;
        for (let draw = 0; draw < 2000; draw++) {
          const [lost, gained] = [poisson(random, changes * share), poisson(random, changes * (1 - share))];
          const key = `${lost} ${gained}`;
          if (!known.has(key)) {
            const { low, high } = pairedDifference(lost, gained, 10_000);
            known.set(key, low <= truth && truth <= high);
          }
          held += Number(known.get(key));
        }
        expect(held / 2000, `${changes} changes, ${share} of them lost`).to.be.at.least(0.925);
      }
    }
  });
});

describe('the interval of a mean of counts', () => {
  it('with two values is that of Agresti and Coull', () => {
    // 3 of 40 with z^2 / 2 added to both: (3 + 1.92073) / 43.84146.
    const { low, high } = meanOfCounts([37, 3], [0, 1]);
    const share = (3 + 1.9207294103470618) / 43.84145882069412;
    const half = 1.959963984540054 * Math.sqrt((share * (1 - share)) / 43.84145882069412);
    expect(low).to.be.closeTo(Math.max(0, share - half), 1e-12);
    expect(high).to.be.closeTo(share + half, 1e-12);
  });

  it('holds the true mean in 93 of 100 draws and more, however few leave early', () => {
    const random = new Random(1, 'mean coverage');
    const costs = [0.1, 0.25, 0.88, 1];
    for (const changes of [0.5, 1, 2, 5, 10, 30, 100]) {
      for (const only of [0, undefined]) {
        const rates = [0, 1, 2].map((exit) => (only === undefined ? changes / 3 : exit === only ? changes : 0));
        const truth = rates.reduce((sum, rate, exit) => sum + (rate / 10_000) * (costs[exit]! - 1), 1);
        let held = 0;
        for (let draw = 0; draw < 2000; draw++) {
          const early = rates.map((rate) => (rate === 0 ? 0 : poisson(random, rate)));
          const { low, high } = meanOfCounts([...early, 10_000 - early.reduce((a, b) => a + b)], costs);
          held += Number(low <= truth && truth <= high);
        }
        expect(held / 2000, `${changes} leave early`).to.be.at.least(0.925);
      }
    }
  });

  it('stays between the values', () => {
    expect(meanOfCounts([10], [7])).to.deep.equal({ low: 7, high: 7 });
    const { low, high } = meanOfCounts([0, 3], [1, 2]);
    expect(low).to.be.within(1, 2);
    expect(high).to.equal(2);
  });
});

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
