import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { studentQuantile } from '../../src/statistics/intervals.js';
import { type Estimate, estimate, type PairTimes, summarise } from '../../src/timing/estimate.js';
import { poolEstimates, poolRows, type RepeatedRow, type RowTiming } from '../../src/timing/record.js';

const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());

/** A process: its estimate, and one pair that stands for its totals. */
function process(speedUp: number, half = 0): { estimate: Estimate; pairs: PairTimes[] } {
  const interval = { low: speedUp - half, high: speedUp + half };
  const known = { speedUp, speedUpInterval: interval, efficiency: speedUp / 0.5 };
  return {
    estimate: {
      ...known,
      flopsReduction: 0.5,
      efficiencyInterval: { low: interval.low / 0.5, high: interval.high / 0.5 },
    },
    pairs: [{ originalMs: 1, gatedMs: 1 - speedUp, flopsShare: 0.5, turn: 0 }],
  };
}

describe('several processes that time a row', () => {
  it('have the interval of Student where nothing varies within a process', () => {
    const { speedUp, speedUpInterval } = poolEstimates([process(0.5), process(0.52), process(0.54)]);
    expect(speedUp).to.be.closeTo(0.52, 1e-12);
    const half = (studentQuantile(2, 0.95) * 0.02) / Math.sqrt(3);
    expect(speedUpInterval.low).to.be.closeTo(0.52 - half, 1e-12);
    expect(speedUpInterval.high).to.be.closeTo(0.52 + half, 1e-12);
  });

  it('keep the interval within a process where processes agree, and where there is one', () => {
    const { speedUpInterval } = poolEstimates([process(0.5, 0.01), process(0.5, 0.01)]);
    expect([speedUpInterval.low, speedUpInterval.high].map((end) => +end.toFixed(9))).to.deep.equal([0.49, 0.51]);
    expect(poolEstimates([process(0.5, 0.01)])).to.deep.equal(process(0.5, 0.01).estimate);
  });

  for (const repeats of [2, 3, 5]) {
    it(`cover the truth at least 93 times in a hundred where processes differ (${repeats})`, () => {
      const random = new Random(repeats, 'repeats');
      let [pooled, single] = [0, 0];
      for (let trial = 0; trial < 1000; trial++) {
        // A process shifts the speed-up by 1 point, noise within it by 0.2.
        const found = Array.from({ length: repeats }, () => {
          return process(0.4 + 0.01 * normal(random) + 0.002 * normal(random), 1.96 * 0.002);
        });
        const covers = ({ low, high }: Estimate['speedUpInterval']): boolean => low <= 0.4 && 0.4 <= high;
        pooled += Number(covers(poolEstimates(found).speedUpInterval));
        single += Number(covers(found[0]!.estimate.speedUpInterval));
      }
      expect(pooled).to.be.at.least(930);
      expect(single, 'one process alone does not').to.be.below(600);
    });
  }

  it('have no efficiency where no FLOPs are saved', () => {
    const none = { ...process(0.5), estimate: { ...process(0.5).estimate, flopsReduction: 0 } };
    const { efficiency, efficiencyInterval } = poolEstimates([none, none]);
    expect([efficiency, efficiencyInterval]).to.deep.equal([null, null]);
  });

  it('pool measured pairs: totals of all, each process with its own turns', () => {
    const run = (share: number) => {
      const pairs = Array.from({ length: 40 }, (_, turn) => ({
        originalMs: 10,
        gatedMs: 10 * share,
        flopsShare: 0.5,
        turn,
      }));
      return { pairs, estimate: estimate(pairs, 0.5, 0) };
    };
    const { speedUp, flopsReduction, efficiency } = poolEstimates([run(0.5), run(0.6)]);
    expect([speedUp, flopsReduction, efficiency].map((value) => +value!.toFixed(9))).to.deep.equal([0.45, 0.5, 0.9]);
  });

  it('add up the images of each exit, and keep the worst agreement', () => {
    const run = (exits: number[], differing: number): RepeatedRow => {
      const { estimate, pairs } = process(0.5);
      const ms = summarise([1]);
      const timing: RowTiming = {
        ...estimate,
        ...{ date: '', model: 'm', thresholds: [], rule: '', batchesPerTurn: 1, warnings: [] },
        ...{ speedUps: [0.5], pairs: 1, images: 8, originalMs: ms, gatedMs: ms },
        ...{ originalImagesPerSecond: 1, gatedImagesPerSecond: 1, exits },
        agreement: { images: 8, nearThreshold: 0, differing },
      };
      return { timing, pairs };
    };
    const { exits, agreement, images } = poolRows([run([5, 2, 1], 1), run([3, 4, 1], 0)]);
    expect([exits, agreement.differing, images]).to.deep.equal([[8, 6, 2], 1, 16]);
  });
});
