import { expect } from 'chai';
import { warmUp } from '../../src/timing/warm-up.js';
import { fakeClock } from './fakeClock.js';

const bounds = { window: 5, leastWindow: 2, tolerance: 0.05, maxRuns: 100, maxMs: 10_000 };

describe('warm-up', () => {
  /** Works whose n-th run takes the n-th of `times`. */
  function works(...times: ((run: number) => number)[]) {
    const { clock, pass } = fakeClock();
    const order: number[] = [];
    const list = times.map((ms, index) => {
      let run = 0;
      return async () => {
        order.push(index);
        pass(ms(run++));
      };
    });
    return { clock, list, order };
  }

  it('ends when the medians of two windows agree, at the earliest after two windows', async () => {
    const { clock, list } = works(() => 4);
    expect(await warmUp(clock, list, bounds)).to.deep.equal({ runs: 10, ms: 40, stable: true, medianMs: [4] });
  });

  it('continues while the first runs are slower', async () => {
    // Medians of windows of 5: 50, 20 and 4 are none like the one before; then 4 again.
    const { clock, list } = works((run) => (run < 5 ? 50 : run < 10 ? 20 : 4));
    const { runs, stable, medianMs } = await warmUp(clock, list, bounds);
    expect([runs, stable, medianMs]).to.deep.equal([20, true, [4]]);
  });

  it('waits for every work, a window of each in turn', async () => {
    const { clock, list, order } = works(
      () => 2,
      (run) => (run < 5 ? 9 : 3),
    );
    const { runs, stable, medianMs } = await warmUp(clock, list, bounds);
    expect([runs, stable, medianMs]).to.deep.equal([15, true, [2, 3]]);
    expect(order.join('')).to.equal('000001111100000111110000011111');
  });

  it('is not prolonged by a single outlier', async () => {
    const { clock, list } = works((run) => (run === 7 ? 500 : 4));
    expect(await warmUp(clock, list, bounds)).to.include({ runs: 10, stable: true });
  });

  it('ends unstable at the bound of its runs', async () => {
    const { clock, list } = works((run) => 1 + run);
    expect(await warmUp(clock, list, { ...bounds, tolerance: 0.01, maxRuns: 30 })).to.include({
      runs: 30,
      stable: false,
    });
  });

  it('takes smaller windows if two of the usual size do not fit into its time', async () => {
    // Two windows of 3 runs of each of two works: 9.6 s. The first run, which compiles, does not count.
    const { clock, list, order } = works(
      (run) => (run === 0 ? 1400 : 800),
      () => 700,
    );
    const { runs, stable, medianMs } = await warmUp(clock, list, bounds);
    expect([runs, stable, medianMs]).to.deep.equal([6, true, [800, 700]]);
    expect(order.join('')).to.equal('000111000111');
  });

  it('does not count the time of first runs that open sessions and compile', async () => {
    const { clock, list } = works(
      (run) => (run === 0 ? 3500 : 800),
      (run) => (run === 0 ? 4000 : 700),
    );
    expect(await warmUp(clock, list, bounds)).to.deep.equal({
      runs: 6,
      ms: 15_000,
      stable: true,
      medianMs: [800, 700],
    });
  });

  it('takes no window below the minimum', async () => {
    const { clock, list } = works(() => 2400);
    expect(await warmUp(clock, list, bounds)).to.include({ runs: 4, stable: true });
    const long = works(() => 2600);
    expect(await warmUp(long.clock, long.list, bounds)).to.include({ runs: 4, stable: false });
  });

  it('ends unstable if times are NaN', async () => {
    const { clock, list } = works(() => Number.NaN);
    expect(await warmUp(clock, list, bounds)).to.include({ runs: 1, stable: false });
  });

  it('ends unstable at the bound of its time, but never without a run', async () => {
    const slow = works(() => 4000);
    expect(await warmUp(slow.clock, slow.list, bounds)).to.include({ runs: 3, stable: false });
    const slower = works(
      () => 60_000,
      () => 30_000,
    );
    const { runs, medianMs, stable } = await warmUp(slower.clock, slower.list, bounds);
    expect([runs, medianMs, stable]).to.deep.equal([1, [60_000, 30_000], false]);
  });
});
