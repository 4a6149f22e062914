import { expect } from 'chai';
import { chiSquared, chiSquaredTail } from '../../src/statistics/chi-squared.js';
import { median, variance } from '../../src/statistics/moments.js';
import { meanInterval } from '../../src/statistics/normal.js';

describe('moments', () => {
  it('are those of a sample', () => {
    expect(variance([1, 2, 3, 4])).to.be.closeTo(5 / 3, 1e-15);
    expect(variance([7])).to.deep.equal(Number.NaN);
  });

  it('sorts as numbers, not as text', () => {
    expect(median([10, 9, 100])).to.equal(10);
    expect(median([10, 9, 100, 2])).to.equal(9.5);
  });

  // 2.5 -+ 1.959964 * sqrt(5/3) / 2
  it('give the interval of a mean', () => {
    const { low, high } = meanInterval([1, 2, 3, 4]);
    expect(low).to.be.closeTo(2.5 - 1.265151, 1e-6);
    expect(high).to.be.closeTo(2.5 + 1.265151, 1e-6);
    expect(meanInterval([7])).to.deep.equal({ low: 7, high: 7 });
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
