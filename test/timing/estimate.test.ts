import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { nearestRank } from '../../src/statistics/intervals.js';
import {
  type Estimate,
  estimate,
  noiseWarnings,
  type PairTimes,
  type Surroundings,
  summarise,
  surroundingsWarnings,
  widthWarnings,
} from '../../src/timing/estimate.js';
import { monotonicClock, timed } from '../../src/timing/pairs.js';
import { fakeClock } from './fakeClock.js';

type Times = Omit<PairTimes, 'turn'>;

const pair = (originalMs: number, gatedMs: number, flopsShare = 0.5): Times => ({ originalMs, gatedMs, flopsShare });

const shareOf = (pairs: readonly Times[]): number =>
  pairs.reduce((sum, { flopsShare }) => sum + flopsShare, 0) / pairs.length;

/** With a separate turn for each pair; all images have the FLOPs of the timed ones, unless said. */
const estimated = (pairs: readonly Times[], seed: number, share = shareOf(pairs)): Estimate =>
  estimate(
    pairs.map((times, turn) => ({ ...times, turn })),
    share,
    seed,
  );

const width = ({ speedUpInterval: { low, high } }: Estimate): number => high - low;

describe('speed-up and efficiency of pairs', () => {
  it('are those of the totals, by hand', () => {
    // t = 3 + 6 = 9, t0 = 10 + 20 = 30; F/F0 = (0.2 + 0.4) / 2
    const found = estimated([pair(10, 3, 0.2), pair(20, 6, 0.4)], 0);
    expect(found.speedUp).to.be.closeTo(0.7, 1e-12);
    expect(found.flopsReduction).to.be.closeTo(0.7, 1e-12);
    expect(found.efficiency).to.be.closeTo(1, 1e-12);
  });

  it('have an interval of width 0 if all pairs are equal', () => {
    const found = estimated(new Array(50).fill(pair(8, 5, 0.5)), 3);
    expect(found.speedUpInterval.low).to.be.closeTo(0.375, 1e-12);
    expect(found.speedUpInterval.high).to.be.closeTo(0.375, 1e-12);
    expect(found.efficiency).to.be.closeTo(0.75, 1e-12);
    expect(found.efficiencyInterval!.low).to.be.closeTo(0.75, 1e-12);
    expect(found.efficiencyInterval!.high).to.be.closeTo(0.75, 1e-12);
  });

  it('keep pairs together: a disturbance of both runs of a pair does not widen the interval', () => {
    const random = new Random(1);
    const slow = Array.from({ length: 200 }, () => 1 + 9 * random.uniform());
    const paired = estimated(
      slow.map((factor) => pair(10 * factor, 6 * factor)),
      0,
    );
    const apart = estimated(
      slow.map((factor, i) => pair(10 * factor, 6 * slow[(i + 77) % 200]!)),
      0,
    );
    expect(width(paired)).to.be.below(1e-9);
    expect(width(apart)).to.be.above(0.05);
  });

  it('have the interval that theory gives for independent pairs', () => {
    // t0 = 1 always, t = 0 or 1 with even chances: the mean of 400 has a standard error of 0.5 / 20 = 0.025.
    const pairs = Array.from({ length: 400 }, (_, i) => pair(1, i % 2, 1));
    const { low, high } = estimated(pairs, 0).speedUpInterval;
    expect(low).to.be.closeTo(0.5 - 1.96 * 0.025, 0.006);
    expect(high).to.be.closeTo(0.5 + 1.96 * 0.025, 0.006);
  });

  it('cover the truth about 95 times in a hundred', () => {
    const random = new Random(5);
    let covered = 0;
    for (let run = 0; run < 100; run++) {
      const pairs = Array.from({ length: 40 }, () => pair(1 + random.uniform(), (1 + random.uniform()) * 0.6));
      const { low, high } = estimated(pairs, run).speedUpInterval;
      if (low <= 0.4 && 0.4 <= high) covered++;
    }
    expect(covered).to.be.within(88, 99);
  });

  it('widen if neighbours are correlated: blocks keep them together', () => {
    // 100 stretches of 20 pairs: t is 0 or 1 for a whole stretch.
    const random = new Random(2);
    const stretches = Array.from({ length: 100 }, () => random.below(2));
    const inOrder = stretches.flatMap((t) => new Array<Times>(20).fill(pair(1, t, 1)));
    const shuffled = new Random(3).shuffle([...inOrder]);
    expect(width(estimated(inOrder, 0))).to.be.above(1.5 * width(estimated(shuffled, 0)));
  });

  it('widen if the pairs of a turn are correlated: whole turns are drawn', () => {
    // 20 turns of 20 pairs each, t is 0 or 1 for a whole turn: a standard error of 0.5 / sqrt(20), not of 0.5 / 20.
    const turns = Array.from({ length: 20 }, (_, turn) => turn % 2);
    const pairs = turns.flatMap((t, turn) => Array.from({ length: 20 }, () => ({ ...pair(1, t, 1), turn })));
    const { low, high } = estimate(pairs, 1, 0).speedUpInterval;
    expect(high - low).to.be.closeTo((2 * 1.96 * 0.5) / Math.sqrt(20), 0.06);
    const second = estimate(pairs.slice(200), 1, 0).speedUpInterval;
    expect(second.high - second.low).to.be.closeTo((2 * 1.96 * 0.5) / Math.sqrt(10), 0.12);
  });

  it('are the same for the same seed, and nearly so for another', () => {
    const random = new Random(9);
    const pairs = Array.from({ length: 100 }, () => pair(1 + random.uniform(), random.uniform(), random.uniform()));
    expect(estimated(pairs, 4)).to.deep.equal(estimated(pairs, 4));
    const [a, b] = [estimated(pairs, 4), estimated(pairs, 5)];
    expect(a.speedUpInterval).not.to.deep.equal(b.speedUpInterval);
    expect(a.speedUpInterval.low).to.be.closeTo(b.speedUpInterval.low, 0.02);
  });

  it('are those of all images, whichever were timed, where times follow the FLOPs', () => {
    // t = 1 + 8 f. 40 of the 60 timed images leave early, half of all images do: t/t0 = 0.1 + 0.8 * 0.55.
    const times = Array.from({ length: 60 }, (_, i) => {
      const share = i % 3 === 0 ? 1 : 0.1;
      return pair(10, 1 + 8 * share, share);
    });
    const found = estimated(times, 0, 0.55);
    expect(found.speedUp).to.be.closeTo(1 - 0.54, 1e-9);
    expect(found.flopsReduction).to.be.closeTo(0.45, 1e-12);
    expect(found.efficiency).to.be.closeTo(0.46 / 0.45, 1e-9);
    expect(width(found)).to.be.below(1e-9);
  });

  it('are in proportion to the FLOPs for a few pairs, whose regression noise would decide: the interval is wide', () => {
    // t = 5.5 at F/F0 = 0.5 on average, so 8.8 at 0.8; the regression would give 305.
    const found = estimated([pair(10, 5, 0.4995), pair(10, 6, 0.5005)], 0, 0.8);
    expect(found.speedUp).to.be.closeTo(0.12, 1e-12);
    expect(width(found)).to.be.closeTo(0.1, 0.002);
  });

  it('cover the truth of all images about 95 times in a hundred, in less than half the width', () => {
    const random = new Random(6);
    let covered = 0;
    const widths: [number, number] = [0, 0];
    for (let run = 0; run < 100; run++) {
      // One image in two leaves early. A run of the gated network takes 8 % more than its FLOPs, give or take 10 %.
      const times = Array.from({ length: 60 }, () => {
        const share = random.below(2) === 0 ? 0.1 : 1;
        return pair(10, 10.8 * share * (0.9 + 0.2 * random.uniform()), share);
      });
      const found = estimated(times, run, 0.55);
      const { low, high } = found.speedUpInterval;
      if (low <= 1 - 0.594 && 1 - 0.594 <= high) covered++;
      widths[0] += width(found);
      widths[1] += width(
        estimated(
          times.map((one) => ({ ...one, flopsShare: 0.55 })),
          run,
        ),
      );
    }
    expect(covered).to.be.within(88, 99);
    expect(widths[0]).to.be.below(0.5 * widths[1]);
  });

  it('have no efficiency without saved FLOPs, and need a pair', () => {
    const { efficiency, efficiencyInterval, speedUp } = estimated([pair(10, 11, 1.01), pair(10, 11, 1.01)], 0);
    expect([efficiency, efficiencyInterval]).to.deep.equal([null, null]);
    expect(speedUp).to.be.closeTo(-0.1, 1e-12);
    expect(() => estimated([], 0)).to.throw(RangeError);
  });
});

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

/** 1,000 pairs of 10 and 6 ms; 1 % of noise that both share. */
function pairs(change: (pair: PairTimes, i: number) => Partial<PairTimes> = () => ({})): PairTimes[] {
  const random = new Random(0);
  return Array.from({ length: 1000 }, (_, i) => {
    const factor = 1 + 0.02 * (random.uniform() - 0.5);
    const pair = { originalMs: 10 * factor, gatedMs: 6 * factor, flopsShare: 0.55, turn: i };
    return { ...pair, ...change(pair, i) };
  });
}

const warned = (list: PairTimes[]): string[] => [
  ...widthWarnings(estimate(list, 0.55, 0)),
  ...noiseWarnings(list, 0.55, 0),
];

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
