import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { estimate, type PairTimes } from '../../src/timing/estimate.js';
import type { Surroundings } from '../../src/timing/machine.js';
import { noiseWarnings, surroundingsWarnings, widthWarnings } from '../../src/timing/noise.js';

/** 1,000 pairs of 10 and 6 ms; 1 % of noise that both share. */
function pairs(change: (pair: PairTimes, i: number) => Partial<PairTimes> = () => ({})): PairTimes[] {
  const random = new Random(0);
  return Array.from({ length: 1000 }, (_, i) => {
    const factor = 1 + 0.02 * (random.uniform() - 0.5);
    const pair = { originalMs: 10 * factor, gatedMs: 6 * factor, flopsShare: 0.55, turn: i };
    return { ...pair, ...change(pair, i) };
  });
}

const warned = (list: PairTimes[]): string[] => [...widthWarnings(estimate(list, 0)), ...noiseWarnings(list, 0)];

describe('noise', () => {
  it('causes no warning on a quiet machine, also with images of different exits', () => {
    expect(warned(pairs())).to.deep.equal([]);
    const random = new Random(1);
    expect(warned(pairs(() => ({ gatedMs: random.below(2) === 0 ? 2 : 10 })))).to.deep.equal([]);
  });

  it('is reported if t/t0 is uncertain', () => {
    const random = new Random(1);
    const few = pairs(() => ({ gatedMs: random.below(2) === 0 ? 1 : 10 })).slice(0, 60);
    const [line, ...others] = warned(few);
    expect(others).to.deep.equal([]);
    expect(line).to.match(/^t\/t0 is only known between 0\.\d{3} and 0\.\d{3}: time more images or repeats$/);
  });

  it('is reported if the time of the original network varies', () => {
    const disturbed = pairs(({ originalMs, gatedMs }, i) =>
      i % 8 === 0 ? { originalMs: 1.6 * originalMs, gatedMs: 1.6 * gatedMs } : {},
    );
    expect(warned(disturbed)).to.deep.equal([
      'the machine is noisy: the original network does the same work every time, yet its 90th percentile (15.9 ms) is ' +
        '1.59 times its median (10.0 ms)',
    ]);
  });

  it('is reported if the machine changed its pace, although t/t0 did not', () => {
    const throttled = pairs(({ originalMs, gatedMs }, i) =>
      i < 500 ? {} : { originalMs: 1.2 * originalMs, gatedMs: 1.2 * gatedMs },
    );
    expect(warned(throttled)).to.have.length(1);
    expect(warned(throttled)[0]).to.match(/^the machine changed its pace: .* 10\.0 ms in the first half .* 12\.0 ms/);
  });

  it('is reported for times that are NaN: every bound is broken', () => {
    const list = pairs(() => ({ originalMs: Number.NaN }));
    const lines = warned(list);
    for (const start of ['t/t0 is only known', 'the machine is noisy', 'the machine changed', 'the two halves']) {
      expect(
        lines.some((line) => line.startsWith(start)),
        start,
      ).to.equal(true);
    }
    const nowhere = { cores: 2, loadBefore: Number.NaN, loadAfter: 0, othersShare: Number.NaN };
    expect(surroundingsWarnings(nowhere)).to.have.length(2);
  });

  it('is reported if the halves of the run disagree about t/t0', () => {
    const drifting = pairs(({ gatedMs }, i) => (i < 500 ? {} : { gatedMs: 1.1 * gatedMs }));
    expect(warned(drifting)).to.deep.equal([
      'the two halves of the run disagree: speed-up 40.0 % in the first, 34.0 % in the second',
    ]);
    const hardly = pairs(({ gatedMs }, i) => (i < 500 ? {} : { gatedMs: 1.02 * gatedMs }));
    expect(warned(hardly)).to.deep.equal([]);
  });

  it('is reported if other programs use the machine', () => {
    const quiet: Surroundings = { cores: 2, loadBefore: 0.4, loadAfter: 2.2, othersShare: 0.05 };
    expect(surroundingsWarnings(quiet)).to.deep.equal([]);
    expect(surroundingsWarnings({ ...quiet, othersShare: null })).to.deep.equal([]);
    expect(surroundingsWarnings({ ...quiet, loadBefore: 2.6 })).to.deep.equal([
      'the machine is busy: its load over the last minute was 2.6 on 2 cores',
    ]);
    expect(surroundingsWarnings({ ...quiet, othersShare: 0.31 })).to.deep.equal([
      'other programs kept 31.0 % of the processors busy while the networks were timed',
    ]);
  });
});
