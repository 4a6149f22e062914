import { expect } from 'chai';
import { leastCount, nearestRank } from '../../src/statistics/quantiles.js';

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
