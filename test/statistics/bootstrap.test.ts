import { expect } from 'chai';
import { percentileInterval } from '../../src/statistics/bootstrap.js';

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
