import { expect } from 'chai';
import {
  leastCount,
  meanInterval,
  median,
  nearestRank,
  percentileInterval,
  variance,
} from '../../src/statistics/intervals.js';

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

describe('the least count that is a share', () => {
  it('is what was asked for, also where floating point says a little more', () => {
    let rounded = 0;
    for (let count = 1; count <= 400; count++) {
      for (let k = 0; k <= count; k++) {
        // As accuracies are: a share less a margin, which says k again.
        const share = (k + 7) / count - 7 / count;
        expect(leastCount(share, count), `${k} of ${count}`).to.equal(k);
        if (Math.ceil(share * count) !== k) rounded++;
      }
    }
    expect(rounded, 'where rounding would have asked for one more').to.be.above(100);
  });

  it('is one more where a ten-millionth more is asked for', () => {
    for (const count of [10, 1000, 10_000]) expect(leastCount(0.7 + 1e-7, count)).to.equal(0.7 * count + 1);
  });

  it('is the rank of a nearest rank', () => {
    const sorted = Float64Array.from({ length: 100 }, (_, i) => i + 1);
    expect(0.07 * 100).to.be.above(7);
    expect(nearestRank(sorted, 0.07)).to.equal(7);
  });
});

describe('bootstrap intervals', () => {
  it('percentiles interpolate between replicates', () => {
    const replicates = Array.from({ length: 101 }, (_, i) => 100 - i);
    const found = percentileInterval(replicates, 0.9);
    expect(found.low).to.be.closeTo(5, 1e-9);
    expect(found.high).to.be.closeTo(95, 1e-9);
    expect(percentileInterval([0, 1], 0.5)).to.deep.equal({ low: 0.25, high: 0.75 });
  });

  it('are NaN if a replicate is NaN, not those of the others', () => {
    const replicates = Array.from({ length: 1000 }, (_, i) => (i === 7 ? Number.NaN : i));
    expect(percentileInterval(replicates, 0.95)).to.deep.equal({ low: Number.NaN, high: Number.NaN });
  });
});
