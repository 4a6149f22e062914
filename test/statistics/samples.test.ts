import { expect } from 'chai';
import { adaptiveCalibrationError, areaUnderRoc, holm, pairedPValue } from '../../src/statistics/comparisons.js';
import {
  leastCount,
  meanInterval,
  median,
  nearestRank,
  pairedInterval,
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

describe('comparisons', () => {
  it('have the p-values of a paired t-test, below 5 % exactly where the interval leaves 0 out', () => {
    // scipy.stats.ttest_1samp([1, 2, 3, 4, -1], 0).pvalue
    expect(pairedPValue([1, 2, 3, 4, -1])).to.be.closeTo(0.10454, 5e-6);
    for (const shift of [0, 0.5, 1, 1.2, 1.4, 3, 5]) {
      const differences = [1, 2, 3, 4, -1].map((value) => value - shift);
      const { low, high } = pairedInterval(differences);
      expect(pairedPValue(differences) < 0.05, `${shift}`).to.equal(low > 0 || high < 0);
    }
    expect([pairedPValue([0, 0]), pairedPValue([2, 2])]).to.deep.equal([1, 0]);
  });

  it('are corrected by Holm, in any order', () => {
    const close = (found: number[], expected: number[]): void => {
      expect(found.length).to.equal(expected.length);
      for (const [i, p] of expected.entries()) expect(found[i]).to.be.closeTo(p, 1e-12);
    };
    close(holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06]);
    close(holm([0.5, 0.9]), [1, 1]);
    close(holm([]), []);
  });

  it('of confidences with what is right have areas, ties counted half', () => {
    const isRight = (right: readonly number[]) => (i: number) => right[i] === 1;
    expect(areaUnderRoc([0.1, 0.2, 0.3, 0.4], isRight([0, 0, 1, 1]))).to.equal(1);
    expect(areaUnderRoc([0.4, 0.3, 0.2, 0.1], isRight([0, 0, 1, 1]))).to.equal(0);
    expect(areaUnderRoc([1, 1, 1], isRight([0, 1, 1]))).to.equal(0.5);
    expect(areaUnderRoc([3, 1, 2, 2], isRight([1, 0, 1, 0]))).to.equal(0.875);
    expect(areaUnderRoc([1, 2], isRight([1, 1]))).to.deep.equal(Number.NaN);
  });

  it('of probabilities with what is right have the calibration error', () => {
    const values = new Array<number>(300).fill(0.75);
    expect(adaptiveCalibrationError(values, (i) => i % 4 !== 0)).to.be.closeTo(0, 0.03);
    expect(adaptiveCalibrationError(values, () => true)).to.be.closeTo(0.25, 1e-12);
    expect(adaptiveCalibrationError(values, () => false)).to.be.closeTo(0.75, 1e-12);
  });
});
