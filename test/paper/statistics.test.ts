import { expect } from 'chai';
import {
  bootstrapMeans,
  chiSquared,
  mean,
  meanInterval,
  percentileInterval,
  wilson,
} from '../../src/paper/statistics.js';
import { Random } from '../../src/random.js';
import { chiSquaredTail } from '../../src/statistics/gamma.js';

describe('statistics of the analyses', () => {
  // statsmodels.stats.proportion.proportion_confint(8, 10, method='wilson') and (0, 10), (50, 100)
  for (const [successes, count, low, high] of [
    [8, 10, 0.490162, 0.943318],
    [0, 10, 0, 0.277533],
    [10, 10, 0.722467, 1],
    [50, 100, 0.403832, 0.596168],
  ] as const) {
    it(`Wilson's interval of ${successes} in ${count}`, () => {
      const found = wilson(successes, count);
      expect(found.low).to.be.closeTo(low, 1e-6);
      expect(found.high).to.be.closeTo(high, 1e-6);
    });
  }

  it('nothing counted says nothing', () => {
    expect(wilson(0, 0)).to.deep.equal({ low: 0, high: 1 });
  });

  // 2.5 -+ 1.959964 * sqrt(5/3) / 2
  it('interval of a mean', () => {
    const { low, high } = meanInterval([1, 2, 3, 4]);
    expect(low).to.be.closeTo(2.5 - 1.265151, 1e-6);
    expect(high).to.be.closeTo(2.5 + 1.265151, 1e-6);
    expect(meanInterval([7])).to.deep.equal({ low: 7, high: 7 });
  });

  it('percentiles interpolate between replicates', () => {
    const replicates = Array.from({ length: 101 }, (_, i) => 100 - i);
    const found = percentileInterval(replicates, 0.9);
    expect(found.low).to.be.closeTo(5, 1e-9);
    expect(found.high).to.be.closeTo(95, 1e-9);
    expect(percentileInterval([0, 1], 0.5)).to.deep.equal({ low: 0.25, high: 0.75 });
  });

  it('bootstrap means keep columns paired and spread as the standard error', () => {
    const random = new Random(3, 'test');
    const values = new Float32Array(3 * 400);
    for (let image = 0; image < 400; image++) {
      const value = random.uniform();
      values.set([value, value - 1, 5], 3 * image);
    }
    const means = bootstrapMeans(values, 3, 1000, 0);
    const first = Array.from({ length: 1000 }, (_, replicate) => means[3 * replicate]!);
    first.forEach((value, replicate) => {
      expect(value - means[3 * replicate + 1]!).to.be.closeTo(1, 1e-6);
      expect(means[3 * replicate + 2]).to.equal(5);
    });
    const middle = mean(first);
    const deviation = Math.sqrt(mean(first.map((value) => (value - middle) ** 2)));
    expect(deviation).to.be.closeTo(Math.sqrt(1 / 12 / 400), 0.0015);
    expect(bootstrapMeans(values, 3, 10, 0)).to.deep.equal(means.slice(0, 30));
    expect(bootstrapMeans(values, 3, 10, 1)).not.to.deep.equal(means.slice(0, 30));
  });

  // scipy.stats.chi2_contingency([[10, 20], [20, 10]], correction=False): 6.6667, p = 0.00982
  it("Pearson's chi-squared and its tail", () => {
    const found = chiSquared([
      [10, 20],
      [20, 10],
    ]);
    expect(found.statistic).to.be.closeTo(20 / 3, 1e-9);
    expect(found.freedom).to.equal(1);
    expect(chiSquaredTail(found.statistic, 1)).to.be.closeTo(0.00982, 0.0005);
    expect(chiSquaredTail(18.307, 10)).to.be.closeTo(0.05, 0.0005);
    expect(chiSquaredTail(0, 0)).to.equal(1);
    const empty = chiSquared([
      [1, 0],
      [2, 0],
    ]);
    expect(empty).to.deep.equal({ statistic: 0, freedom: 0 });
  });
});
