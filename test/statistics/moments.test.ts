import { expect } from 'chai';
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
});
