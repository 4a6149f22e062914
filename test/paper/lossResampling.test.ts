import { expect } from 'chai';
import { type Resampled, resampleDifferences, type ScoredGates } from '../../src/paper/lossCurves.js';

import { Random } from '../../src/random.js';
import { variance } from '../../src/statistics/samples.js';
import type { Scores } from '../../src/thresholds/evaluate.js';

/** Two gates; a more confident gate is more often right. @param sharpness how much more */
function scores(random: Random, count: number, sharpness: number): Scores {
  const ease = Float64Array.from({ length: count }, () => random.uniform());
  const confidences = [0, 1].map(() => Float32Array.from(ease, (e) => e + random.uniform()));
  const rightAt = (c: number): number => Number(random.uniform() > Math.exp(-sharpness * c));
  return {
    count,
    labels: new Int32Array(count).fill(1),
    original: Int32Array.from({ length: count }, () => Number(random.uniform() < 0.9)),
    classes: confidences.map((of) => Int32Array.from(of, rightAt)),
    confidences,
  };
}

const gates = (random: Random, held: number, test: number, sharpness = 2): ScoredGates => {
  return { held: scores(random, held, sharpness), test: scores(random, test, sharpness) };
};

const curves = (...variants: ScoredGates[]): Resampled => ({
  variants: variants.map((one) => [one]),
  pairs: variants.slice(1).map((_, i) => [0, i + 1] as const),
  costs: [10, 40, 101],
  total: 100,
  budgets: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9],
  reductions: [0.2, 0.6],
});

const column = (deviations: Float64Array, at: number): Float64Array => deviations.filter((_, i) => i % 2 === at);

describe('resampled differences of curves', () => {
  it('are 10,000, the same for the same seed, and none where the curves are the same', () => {
    const random = new Random(1, 'curves');
    const [a, b] = [gates(random, 60, 80), gates(random, 60, 80)];
    const [same, other] = resampleDifferences(curves(a, a, b), 0);
    expect(same).to.have.length(20_000);
    expect(new Set(same)).to.deep.equal(new Set([0]));
    expect(resampleDifferences(curves(a, b), 0)[0]).to.deep.equal(other);
    expect(resampleDifferences(curves(a, b), 1)[0]).not.to.deep.equal(other);
  });

  it('vary as the test images alone where nothing else can be chosen', () => {
    const random = new Random(2, 'curves');
    // Every image has the same confidence: all leave at gate 1, or none.
    const constant = (from: ScoredGates): ScoredGates => {
      const fixed = (one: Scores) => ({ ...one, confidences: one.confidences.map((of) => of.slice().fill(1)) });
      return { held: fixed(from.held), test: fixed(from.test) };
    };
    const [a, b] = [constant(gates(random, 50, 500, 2)), constant(gates(random, 50, 500, 1))];
    // At 90 % saved all images leave at gate 1.
    const [found] = resampleDifferences({ ...curves(a, b), budgets: [0.9], reductions: [0.2, 0.9] }, 0);
    const difference = a.test.classes[0]!.map((value, i) => value - b.test.classes[0]![i]!);
    expect(Math.sqrt(variance(column(found!, 1)))).to.be.closeTo(Math.sqrt(variance(difference) / 500), 0.002);
  });

  it('vary more where few images choose: thresholds are chosen again', () => {
    const random = new Random(3, 'curves');
    // Two gates of nearly the same cost, right on 80 and 90 %: on few images the worse one may look better.
    const even = (count: number, ...rights: number[]): Scores => {
      const made = scores(random, count, 1);
      const confidences = made.confidences.map(() => Float32Array.from({ length: count }, () => random.uniform()));
      const classes = rights.map((right) => Int32Array.from({ length: count }, () => Number(random.uniform() < right)));
      return { ...made, confidences, classes };
    };
    const test = [even(500, 0.8, 0.9), even(500, 0.85, 0.85)] as const;
    const spread = (held: number): number => {
      const [a, b] = [even(held, 0.8, 0.9), even(held, 0.85, 0.85)].map((of, i) => ({ held: of, test: test[i]! }));
      const of = { ...curves(a!, b!), costs: [39, 40, 101] };
      return Math.sqrt(variance(column(resampleDifferences(of, 0)[0]!, 1)));
    };
    expect(spread(25)).to.be.above(1.3 * spread(800));
  });
});
