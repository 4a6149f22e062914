import { expect } from 'chai';
import { nearestRank } from '../../src/statistics/quantiles.js';
import { monotonicClock, timed } from '../../src/timing/clock.js';
import { summarise } from '../../src/timing/summary.js';
import { fakeClock } from './fakeClock.js';

describe('statistics of times', () => {
  it('takes the mean, the median, the 90th percentile and the least, by hand', () => {
    expect(summarise([4, 1, 10, 2, 3])).to.deep.equal({ mean: 4, median: 3, p90: 10, least: 1 });
    expect(summarise([4, 1, 3, 2])).to.deep.equal({ mean: 2.5, median: 2.5, p90: 4, least: 1 });
    const ten = Array.from({ length: 10 }, (_, i) => 10 - i);
    expect(summarise(ten)).to.deep.equal({ mean: 5.5, median: 5.5, p90: 9, least: 1 });
    expect(summarise([7])).to.deep.equal({ mean: 7, median: 7, p90: 7, least: 7 });
    expect(() => summarise([])).to.throw(RangeError);
  });

  it('sorts as numbers, not as text', () => {
    expect(summarise([2, 10, 1, 30]).p90).to.equal(30);
  });

  it('takes the nearest rank, as MLPerf does: an observed value, never one between', () => {
    const sorted = Float64Array.from({ length: 1024 }, (_, i) => i + 1);
    expect(nearestRank(sorted, 0.9)).to.equal(922); // ceil(921.6)
    expect(nearestRank(sorted, 1)).to.equal(1024);
    expect(nearestRank(sorted, 0)).to.equal(1);
    expect(nearestRank(Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), 0.3)).to.equal(3);
  });

  it('times work from before it begins until it has ended', async () => {
    const { clock, pass } = fakeClock();
    pass(5);
    const { ms, result } = await timed(clock, async () => {
      pass(3);
      await Promise.resolve();
      pass(4);
      return 'done';
    });
    expect([ms, result]).to.deep.equal([7, 'done']);
  });

  it('has a clock that never goes back and is finer than a microsecond', () => {
    const readings = Array.from({ length: 1000 }, () => monotonicClock());
    for (let i = 1; i < readings.length; i++) expect(readings[i]!).to.be.at.least(readings[i - 1]!);
    expect(readings.some((ms) => Math.abs(ms * 1000 - Math.round(ms * 1000)) > 1e-4)).to.equal(true);
  });
});
