import { expect } from 'chai';
import {
  accuracyOf,
  chooseForBudgets,
  compareCurves,
  curveAt,
  curveOf,
  type Resampled,
  resampleDifferences,
  type ScoredGates,
  type Tested,
  testChoice,
} from '../../src/paper/lossCurves.js';
import { Random } from '../../src/random.js';
import { variance } from '../../src/statistics/intervals.js';
import { evaluate, type Scores } from '../../src/thresholds/evaluate.js';
import { randomCosts, randomScores } from '../thresholds/scores.js';

const tested = (reduction: number, right: number[]): Tested => ({ reduction, right: Uint8Array.from(right) });

describe('curves of accuracy against FLOPs (Figure 4)', () => {
  it('choose the most accurate thresholds that keep a budget, over all pairs', () => {
    const random = new Random(5, 'budgets');
    const scores = randomScores(random, 40, 2);
    const costs = randomCosts(random, 2);
    const total = costs.at(-1)!;
    const levels = [-3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, Number.POSITIVE_INFINITY];
    const everything = levels.flatMap((t1) => levels.map((t2) => evaluate(scores, [t1, t2], costs)));
    for (const { budget, thresholds, accuracy } of chooseForBudgets(scores, costs, total, [0, 0.2, 0.4])) {
      const kept = everything.filter(({ flops }) => flops <= (1 - budget) * total);
      expect(accuracy).to.equal(Math.max(...kept.map((found) => found.accuracy)));
      const own = evaluate(scores, thresholds, costs);
      expect(own.accuracy).to.equal(accuracy);
      expect(own.flops).to.be.at.most((1 - budget) * total);
    }
    expect(chooseForBudgets(scores, costs, total, [0.9999])).to.deep.equal([]);
  });

  it('test a choice image by image', () => {
    const random = new Random(6, 'test');
    const scores = randomScores(random, 50, 2);
    const costs = randomCosts(random, 2);
    const choice = { budget: 0.1, thresholds: [0.5, -0.5], accuracy: 0.5 };
    const found = testChoice(scores, costs, costs.at(-1)!, choice);
    const { correct, flops } = evaluate(scores, choice.thresholds, costs);
    expect(found.right.reduce((sum, value) => sum + value, 0)).to.equal(correct);
    expect(found.reduction).to.be.closeTo(1 - flops / costs.at(-1)!, 1e-12);
  });

  it('lie linearly between two choices, image by image', () => {
    const points = [tested(0.5, [0, 0, 1]), tested(0.1, [1, 1, 1]), tested(0.3, [1, 0, 1])];
    expect([...curveAt(points, 0.3)!]).to.deep.equal([1, 0, 1]);
    const [a, b, c] = curveAt(points, 0.35)!;
    expect([a, b, c].map((value) => Number(value!.toFixed(6)))).to.deep.equal([0.75, 0, 1]);
    expect([...curveAt(points, 0.05)!], 'cheaper than asked for').to.deep.equal([1, 1, 1]);
    expect(curveAt(points, 0.51), 'beyond the last choice').to.equal(undefined);
  });

  it('average over seeds and keep their range', () => {
    const seeds = [[tested(0.5, [1, 0])], [tested(0.5, [1, 1])]];
    const [point, beyond] = curveOf(seeds, [0.4, 0.6]);
    expect(beyond).to.equal(undefined);
    expect([...point!.right]).to.deep.equal([1, 0.5]);
    expect(accuracyOf(point!)).to.include({ accuracy: 0.75, least: 0.5, most: 1 });
  });
});

describe('hinge against cross-entropy', () => {
  /** Curves at 20 and 40 % in which hinge is right on `extra` more of 1000 images than cross-entropy's 500. */
  const comparison = (extra: readonly [number, number], seeds = 2) => {
    const right = (count: number) => Float32Array.from({ length: 1000 }, (_, i) => Number(i < count));
    const curve = (more: readonly number[]) =>
      [0.2, 0.4].map((reduction, i) => {
        const own = right(500 + more[i]!);
        return { reduction, right: own, bySeed: Array.from({ length: seeds }, () => own) };
      });
    return compareCurves(curve(extra), curve([0, 0]), normalDeviations(extra), [0.2, 0.4]);
  };

  /** 10,000 draws of each share's mean over 1000 images, independent. */
  const normalDeviations = (extra: readonly number[]): Float64Array => {
    const random = new Random(9, 'deviations');
    const normal = (): number =>
      Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
    const spread = extra.map((more) => Math.sqrt(((Math.abs(more) / 1000) * (1 - Math.abs(more) / 1000)) / 1000));
    return Float64Array.from({ length: 20_000 }, (_, i) => spread[i % 2]! * normal());
  };

  it('is better if the interval excludes zero', () => {
    const differences = comparison([30, 200]);
    const { growth } = differences[1]!;
    expect(differences.map(({ winner }) => winner)).to.deep.equal(['hinge', 'hinge']);
    expect(differences[1]!.difference).to.be.closeTo(0.2, 1e-9);
    // 1.96 (2.24 with Bonferroni) standard errors of a share of 0.2 in 1000 images: 0.0283
    expect(differences[1]!.interval.low).to.be.closeTo(0.2 - 2.2414 * Math.sqrt(0.16 / 1000), 0.003);
    expect(growth.value).to.be.closeTo(0.17, 1e-9);
    expect(growth.interval.low).to.be.above(0.14);
    expect(differences[0]!.growth).to.deep.equal({ value: 0, interval: { low: 0, high: 0 } });
    expect(comparison([1, -200]).map(({ winner }) => winner)).to.deep.equal(['neither shown', 'cross-entropy']);
  });

  it('is not better if a seed disagrees', () => {
    const better = Float32Array.from({ length: 1000 }, (_, i) => Number(i < 900));
    const worse = Float32Array.from({ length: 1000 }, (_, i) => Number(i < 490));
    const half = Float32Array.from({ length: 1000 }, (_, i) => Number(i < 500));
    const mixed = { reduction: 0.2, right: better.map((v, i) => (v + worse[i]!) / 2), bySeed: [better, worse] };
    const other = { reduction: 0.2, right: half, bySeed: [half, half] };
    const [found] = compareCurves([mixed], [other], new Float64Array(10_000), [0.2]);
    expect(found!.interval.low).to.be.above(0);
    expect(found!.least).to.be.closeTo(-0.01, 1e-9);
    expect(found!.winner).to.equal('neither shown');
  });
});

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
