import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { bootstrapCounts, bootstrapMeans, percentileInterval } from '../../src/statistics/bootstrap.js';
import { mean } from '../../src/statistics/moments.js';

describe('bootstrap intervals', () => {
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
