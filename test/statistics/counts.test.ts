import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { meanOfCounts, pairedDifference } from '../../src/statistics/counts.js';

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
