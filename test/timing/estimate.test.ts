import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { type Estimate, estimate as estimateTurns, type PairTimes } from '../../src/timing/estimate.js';

type Times = Omit<PairTimes, 'turn'>;

const pair = (originalMs: number, gatedMs: number, flopsShare = 0.5): Times => ({ originalMs, gatedMs, flopsShare });

/** With a separate turn for each pair. */
const estimate = (pairs: readonly Times[], seed: number): Estimate =>
  estimateTurns(
    pairs.map((times, turn) => ({ ...times, turn })),
    seed,
  );

describe('speed-up and efficiency of pairs', () => {
  it('are those of the totals, by hand', () => {
    // t = 3 + 6 = 9, t0 = 10 + 20 = 30; F/F0 = (0.2 + 0.4) / 2
    const found = estimate([pair(10, 3, 0.2), pair(20, 6, 0.4)], 0);
    expect(found.speedUp).to.be.closeTo(0.7, 1e-12);
    expect(found.flopsReduction).to.be.closeTo(0.7, 1e-12);
    expect(found.efficiency).to.be.closeTo(1, 1e-12);
  });

  it('have an interval of width 0 if all pairs are equal', () => {
    const found = estimate(new Array(50).fill(pair(8, 5, 0.5)), 3);
    expect(found.speedUpInterval.low).to.be.closeTo(0.375, 1e-12);
    expect(found.speedUpInterval.high).to.be.closeTo(0.375, 1e-12);
    expect(found.efficiency).to.be.closeTo(0.75, 1e-12);
    expect(found.efficiencyInterval!.low).to.be.closeTo(0.75, 1e-12);
    expect(found.efficiencyInterval!.high).to.be.closeTo(0.75, 1e-12);
  });

  it('keep pairs together: a disturbance of both runs of a pair does not widen the interval', () => {
    const random = new Random(1);
    const slow = Array.from({ length: 200 }, () => 1 + 9 * random.uniform());
    const paired = estimate(
      slow.map((factor) => pair(10 * factor, 6 * factor)),
      0,
    );
    const apart = estimate(
      slow.map((factor, i) => pair(10 * factor, 6 * slow[(i + 77) % 200]!)),
      0,
    );
    const width = ({ speedUpInterval: { low, high } }: typeof paired): number => high - low;
    expect(width(paired)).to.be.below(1e-9);
    expect(width(apart)).to.be.above(0.05);
  });

  it('have the interval that theory gives for independent pairs', () => {
    // t0 = 1 always, t = 0 or 1 with even chances: the mean of 400 has a standard error of 0.5 / 20 = 0.025.
    const pairs = Array.from({ length: 400 }, (_, i) => pair(1, i % 2, 1));
    const { low, high } = estimate(pairs, 0).speedUpInterval;
    expect(low).to.be.closeTo(0.5 - 1.96 * 0.025, 0.006);
    expect(high).to.be.closeTo(0.5 + 1.96 * 0.025, 0.006);
  });

  it('cover the truth about 95 times in a hundred', () => {
    const random = new Random(5);
    let covered = 0;
    for (let run = 0; run < 100; run++) {
      const pairs = Array.from({ length: 40 }, () => pair(1 + random.uniform(), (1 + random.uniform()) * 0.6));
      const { low, high } = estimate(pairs, run).speedUpInterval;
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
    const width = (pairs: readonly Times[]): number => {
      const { low, high } = estimate(pairs, 0).speedUpInterval;
      return high - low;
    };
    expect(width(inOrder)).to.be.above(1.5 * width(shuffled));
  });

  it('widen if the pairs of a turn are correlated: whole turns are drawn', () => {
    // 20 turns of 20 pairs each, t is 0 or 1 for a whole turn: a standard error of 0.5 / sqrt(20), not of 0.5 / 20.
    const turns = Array.from({ length: 20 }, (_, turn) => turn % 2);
    const pairs = turns.flatMap((t, turn) => Array.from({ length: 20 }, () => ({ ...pair(1, t, 1), turn })));
    const { low, high } = estimateTurns(pairs, 0).speedUpInterval;
    expect(high - low).to.be.closeTo((2 * 1.96 * 0.5) / Math.sqrt(20), 0.06);
    const second = estimateTurns(pairs.slice(200), 0).speedUpInterval;
    expect(second.high - second.low).to.be.closeTo((2 * 1.96 * 0.5) / Math.sqrt(10), 0.12);
  });

  it('are the same for the same seed, and nearly so for another', () => {
    const random = new Random(9);
    const pairs = Array.from({ length: 100 }, () => pair(1 + random.uniform(), random.uniform(), random.uniform()));
    expect(estimate(pairs, 4)).to.deep.equal(estimate(pairs, 4));
    const [a, b] = [estimate(pairs, 4), estimate(pairs, 5)];
    expect(a.speedUpInterval).not.to.deep.equal(b.speedUpInterval);
    expect(a.speedUpInterval.low).to.be.closeTo(b.speedUpInterval.low, 0.02);
  });

  it('have a narrower interval for the efficiency if both depend on the timed images', () => {
    const random = new Random(6);
    const pairs = Array.from({ length: 300 }, () => {
      const share = random.below(2) === 0 ? 0.1 : 1;
      return pair(10, 10 * share, share);
    });
    const { efficiency, efficiencyInterval, speedUpInterval } = estimate(pairs, 0);
    expect(efficiency).to.be.closeTo(1, 1e-9);
    expect(efficiencyInterval!.high - efficiencyInterval!.low).to.be.below(1e-9);
    expect(speedUpInterval.high - speedUpInterval.low).to.be.above(0.05);
  });

  it('have no efficiency without saved FLOPs, and need a pair', () => {
    const { efficiency, efficiencyInterval, speedUp } = estimate([pair(10, 11, 1.01), pair(10, 11, 1.01)], 0);
    expect([efficiency, efficiencyInterval]).to.deep.equal([null, null]);
    expect(speedUp).to.be.closeTo(-0.1, 1e-12);
    expect(() => estimate([], 0)).to.throw(RangeError);
  });
});
