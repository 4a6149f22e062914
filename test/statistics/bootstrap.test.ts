import { expect } from 'chai';
import { bootstrapCounts, percentileInterval } from '../../src/statistics/bootstrap.js';

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

  it('of counts: every resample has as many items, in the same shares on average', () => {
    const counts = Int32Array.of(30, 0, 50, 20);
    const found = bootstrapCounts(
      counts,
      {
        all: (drawn) => drawn.reduce((sum, count) => sum + count, 0),
        none: (drawn) => drawn[1]!,
        third: (drawn) => drawn[2]!,
      },
      { seed: 0 },
    );
    expect(found.all).to.deep.equal({ low: 100, high: 100 });
    expect(found.none).to.deep.equal({ low: 0, high: 0 });
    expect(found.third.low).to.be.closeTo(50 - 1.96 * 5, 2);
    expect(found.third.high).to.be.closeTo(50 + 1.96 * 5, 2);
  });
});
