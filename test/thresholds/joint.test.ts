import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { evaluate, type Scores, type Thresholds } from '../../src/thresholds/evaluate.js';
import {
  choosePoint,
  defaultLevels,
  type FrontierPoint,
  gridFrontier,
  type Objective,
  paretoFrontier,
} from '../../src/thresholds/frontier.js';
import { achievableLevels, levelOf, levelsAround, makeGrid, quantileLevels } from '../../src/thresholds/grid.js';
import { certify } from '../../src/thresholds/guarantee.js';
import { jointSearch, pointOf, sequentialSearch } from '../../src/thresholds/methods.js';

import { randomCosts, randomImages, randomScores } from './scores.js';

interface Case {
  readonly scores: Scores;
  readonly costs: number[];
  readonly images: Int32Array;
}

/** Many ties; some confidences are infinite or NaN. */
function randomCase(random: Random, gates: number, most = 20): Case {
  const scores = randomScores(random, 2 + random.below(most), gates);
  for (const confidences of scores.confidences) {
    if (random.below(4) > 0) continue;
    confidences[random.below(scores.count)] = [Number.NaN, -Infinity, Infinity][random.below(3)]!;
  }
  return { scores, costs: randomCosts(random, gates), images: randomImages(random, scores.count) };
}

/** Every combination of closed and every confidence, one by one. */
function everyPoint({ scores, costs, images }: Case): FrontierPoint[] {
  const candidates = scores.confidences.map((confidences) => [
    ...new Set([Infinity, ...Array.from(images, (image) => confidences[image]!)].filter((t) => !Number.isNaN(t))),
  ]);
  const all = candidates.reduce<Thresholds[]>((some, of) => some.flatMap((t) => of.map((next) => [...t, next])), [[]]);
  return all.map((thresholds) => pointOf(scores, costs, images, thresholds));
}

/** Accuracy and FLOPs of the Pareto-optimal ones, the most accurate first. */
function undominated(points: readonly FrontierPoint[]): [number, number][] {
  const best = new Map<number, number>();
  for (const { correct, flops } of points) best.set(correct, Math.min(flops, best.get(correct) ?? Infinity));
  const sorted = [...best].sort(([a], [b]) => b - a);
  return sorted.filter(([, flops], i) => sorted.slice(0, i).every(([, before]) => flops < before));
}

const shown = (points: readonly FrontierPoint[]) => points.map(({ correct, flops }) => [correct, flops]);

describe('the levels of a gate', () => {
  it('are closed and every distinct confidence, descending, without NaN', () => {
    const confidences = Float32Array.of(1, Number.NaN, 3, 1, -2, -Infinity, 7);
    expect([...achievableLevels(confidences, [0, 1, 2, 3, 4, 5])]).to.deep.equal([Infinity, 3, 1, -2, -Infinity]);
    expect([...achievableLevels(confidences, [])]).to.deep.equal([Infinity]);
  });

  it('are reached at the first that is not above the confidence', () => {
    const levels = Float64Array.of(Infinity, 3, 1, -2);
    expect([Infinity, 4, 3, 2.9, 1, 0, -2, -3, Number.NaN].map((c) => levelOf(levels, c))).to.deep.equal([
      0, 1, 1, 2, 2, 3, 3, 4, 4,
    ]);
  });

  it('are represented by quantiles, closed and the lowest included, and by neighbours', () => {
    const all = Float64Array.of(Infinity, ...Array.from({ length: 100 }, (_, i) => 100 - i));
    expect([...quantileLevels(all, 5)]).to.deep.equal([Infinity, 76, 51, 26, 1]);
    expect(quantileLevels(all, 101)).to.equal(all);
    expect([...levelsAround(all, 50, 2, 5)]).to.deep.equal([52, 51, 50, 49, 48]);
    expect([...levelsAround(all, Infinity, 4, 5)]).to.deep.equal([Infinity, 99, 97]);
    expect([...levelsAround(all, 1, 1, 3)]).to.deep.equal([2, 1]);
  });
});

describe('paretoFrontier', () => {
  for (const gates of [1, 2, 3]) {
    it(`is the result of trying every combination, ties and infinities included (${gates} gates)`, () => {
      const random = new Random(30 + gates, 'frontier');
      for (let trial = 0; trial < (gates === 3 ? 60 : 200); trial++) {
        const made = randomCase(random, gates, gates === 3 ? 12 : 20);
        const frontier = paretoFrontier(made.scores, made.costs, made.images);
        expect(shown(frontier.points), `trial ${trial}`).to.deep.equal(undominated(everyPoint(made)));
        expect(frontier.exact).to.equal(true);
        for (const point of frontier.points) {
          const { correct, accuracy, flops } = evaluate(made.scores, point.thresholds, made.costs, made.images);
          expect([point.correct, point.accuracy, point.flops]).to.deep.equal([correct, accuracy, flops]);
        }
      }
    });
  }

  it('compares levels, not images: many images with few confidences at a gate are few pairs', () => {
    const random = new Random(38, 'frontier');
    const scores = randomScores(random, 20_000, 2);
    const smooth = smoothScores(random, 20_000, 1);
    const images = Int32Array.from({ length: scores.count }, (_, i) => i);
    for (const first of [0, 1]) {
      const confidences = [smooth.confidences[0]!, scores.confidences[0]!];
      const mixed = { ...scores, confidences: first === 0 ? confidences : confidences.toReversed() };
      const { combinations, points, exact } = paretoFrontier(mixed, [3, 7, 10], images);
      const levels = mixed.confidences.map((of) => achievableLevels(of, images).length);
      expect(combinations).to.be.at.most(levels[0]! * levels[1]!); // 200 million where each image is passed again and again
      expect(exact).to.equal(true);
      for (const point of points.filter((_, i) => i % 50 === 0)) {
        expect(pointOf(mixed, [3, 7, 10], images, point.thresholds)).to.deep.equal(point);
      }
    }
  });

  it('takes as many images as there are: a list of them is no list of arguments', () => {
    const scores = randomScores(new Random(39, 'frontier'), 300_000, 2);
    const { combinations } = paretoFrontier(scores, [3, 7, 10], Int32Array.from(scores.labels.keys()));
    expect(combinations).to.be.at.most(100);
  });

  it('grows no further than a grid of a million with any number of gates, and the searches with it', () => {
    const random = new Random(40, 'frontier');
    for (const gates of [10, 11, 16, 30, 61]) {
      const [scores, costs] = [smoothScores(random, 300, gates), randomCosts(random, gates)];
      const images = Int32Array.from({ length: 300 }, (_, i) => i);
      const frontier = paretoFrontier(scores, costs, images);
      expect(frontier.combinations, `${gates} gates`).to.be.within(1000, 1e6);
      const required =
        pointOf(
          scores,
          costs,
          images,
          costs.slice(1).map(() => Infinity),
        ).accuracy - 0.05;
      const joint = jointSearch(scores, costs, images, { kind: 'accuracy', required }, frontier)!;
      const sequential = pointOf(scores, costs, images, sequentialSearch(scores, costs, images, required));
      expect(joint.flops).to.be.at.most(sequential.flops);
      expect(joint.accuracy).to.be.at.least(required - 1e-9);
      // All leave at the first gate: there always is an answer to a budget that the first exit keeps.
      expect(jointSearch(scores, costs, images, { kind: 'flops', budget: costs[0]! })?.flops).to.equal(costs[0]);
      expect(certify(scores, costs, images, { drop: 0.2, confidence: 0.9 }, 1).thresholds).to.have.length(gates);
    }
  });

  it('keeps budgets of the first exit and of the last though sums of fractional costs, such as times, are rounded', () => {
    for (let count = 2; count < 60; count++) {
      const scores = randomScores(new Random(count, 'budgets'), count, 2);
      const costs = [0.1 * count, 0.7 * count, 1.1 * count];
      const images = Int32Array.from({ length: count }, (_, i) => i);
      const [least, most] = [costs[0]!, costs[2]!].map((budget) =>
        jointSearch({ ...scores, labels: scores.original }, costs, images, { kind: 'flops', budget }),
      );
      expect(least?.flops).to.be.closeTo(costs[0]!, 1e-9);
      expect(most?.correct).to.equal(count);
    }
    // Of systems that cost the same the first one, the smallest, although 0.1 + 0.2 is more than 0.3.
    const points = [0.1 + 0.2, 0.3].map((flops) => ({ thresholds: [], correct: 1, accuracy: 1, flops }));
    for (const objective of [{ kind: 'accuracy', required: 1 } as const, { kind: 'flops', budget: 0.3 } as const]) {
      expect(choosePoint(points, 1, objective, [1])).to.equal(points[0]);
    }
  });

  it('has the original network alone without gates', () => {
    const random = new Random(34, 'frontier');
    const made = randomCase(random, 0);
    expect(paretoFrontier(made.scores, made.costs, made.images).points.map((p) => p.flops)).to.deep.equal(made.costs);
  });

  it('is marked as inexact on a grid, and no grid point is better than the exact frontier', () => {
    const random = new Random(35, 'frontier');
    const [scores, costs] = [smoothScores(random, 400, 2), randomCosts(random, 2)];
    const images = Int32Array.from({ length: 400 }, (_, i) => i);
    const grid = paretoFrontier(scores, costs, images, 20);
    expect([grid.exact, grid.combinations]).to.deep.equal([false, 400]);
    const exact = paretoFrontier(scores, costs, images);
    for (const point of grid.points) {
      expect(exact.points.some((p) => p.correct >= point.correct && p.flops <= point.flops)).to.equal(true);
    }
  });
});

describe('a grid', () => {
  it('sums over the images that leave by Algorithm 1, for every combination', () => {
    const random = new Random(36, 'grid');
    for (let trial = 0; trial < 60; trial++) {
      const { scores, costs, images } = randomCase(random, 1 + random.below(4), 12);
      const levels = scores.confidences.map((confidences) =>
        quantileLevels(achievableLevels(confidences, images), 2 + random.below(4)),
      );
      const grid = makeGrid(scores, images, levels);
      const counts = levels.map((_, gate) => grid.sum((g) => Number(g === gate)));
      for (let i = 0; i < grid.combinations; i++) {
        const { exits } = evaluate(scores, grid.thresholds(i), costs, images);
        expect(counts.map((of) => of[i])).to.deep.equal(exits.slice(0, -1));
      }
    }
  });

  it('of too many combinations is refused', () => {
    const scores = smoothScores(new Random(37), 300, 3);
    const all = scores.confidences.map((of) => achievableLevels(of, Int32Array.from(of.keys())));
    expect(() => makeGrid(scores, [0], all)).to.throw(RangeError, /combinations of levels; valid: at most 16777216/);
    expect([1, 2, 3, 4, 6].map((gates) => defaultLevels(gates) ** gates <= 2 ** 24)).to.not.include(false);
  });
});

describe('jointSearch', () => {
  const objectives = (made: Case): Objective[] => {
    const closed = evaluate(made.scores, made.costs.slice(1).fill(Infinity), made.costs, made.images);
    return [
      { kind: 'accuracy', required: closed.accuracy - 0.1 },
      { kind: 'accuracy', required: closed.accuracy + 0.1 },
      { kind: 'flops', budget: closed.flops * 0.6 },
      { kind: 'weighted', weight: 0.3 },
    ];
  };
  const value = (point: FrontierPoint, objective: Objective, made: Case): number => {
    if (objective.kind === 'accuracy') return point.accuracy < objective.required - 1e-9 ? -Infinity : -point.flops;
    if (objective.kind === 'flops') return point.flops > objective.budget ? -Infinity : point.correct;
    return point.accuracy - (objective.weight * point.flops) / made.costs.at(-1)!;
  };

  it('finds the best of all for a required accuracy, a budget and a weighted sum', () => {
    const random = new Random(38, 'joint');
    let reached = 0;
    for (let trial = 0; trial < 120; trial++) {
      const made = randomCase(random, 1 + random.below(3), 12);
      for (const objective of objectives(made)) {
        const best = Math.max(...everyPoint(made).map((point) => value(point, objective, made)));
        const found = jointSearch(made.scores, made.costs, made.images, objective);
        if (best === -Infinity) expect(found).to.equal(undefined);
        else expect(value(found!, objective, made)).to.be.closeTo(best, 1e-12 * Math.abs(best));
        if (best > -Infinity) reached++;
      }
    }
    expect(reached).to.be.above(250);
  });

  it('is never worse than the sequential search, also from a coarse grid, and comes close to the exact optimum', () => {
    const random = new Random(39, 'joint');
    const ratios: number[] = [];
    for (let trial = 0; trial < 12; trial++) {
      const gates = 2 + (trial % 2);
      const [scores, costs] = [smoothScores(random, 300, gates), randomCosts(random, gates)];
      const images = Int32Array.from({ length: 300 }, (_, i) => i);
      const required = evaluate(scores, costs.slice(1).fill(Infinity), costs).accuracy - 0.02;
      const coarse = paretoFrontier(scores, costs, images, 6);
      const found = jointSearch(scores, costs, images, { kind: 'accuracy', required }, coarse)!;
      const sequential = pointOf(scores, costs, images, sequentialSearch(scores, costs, images, required));
      expect(found.accuracy).to.be.at.least(required - 1e-9);
      expect(found.flops).to.be.at.most(sequential.flops);
      const all = scores.confidences.map((of) => quantileLevels(achievableLevels(of, images), 200));
      const { points } = gates === 2 ? paretoFrontier(scores, costs, images) : gridFrontier(scores, costs, images, all);
      const exact = choosePoint(points, 300, { kind: 'accuracy', required }, costs)!;
      ratios.push(found.flops / exact.flops);
    }
    expect(Math.max(...ratios)).to.be.below(1.03);
  });
});

/** Harder and easier images: a more confident gate is more often right. Few ties. */
function smoothScores(random: Random, count: number, gates: number): Scores {
  const labels = new Int32Array(count);
  const ease = Float64Array.from({ length: count }, () => random.uniform());
  const confidences = Array.from({ length: gates }, () => Float32Array.from(ease, (e) => e + 0.5 * random.uniform()));
  return {
    count,
    labels,
    original: labels.map(() => Number(random.uniform() < 0.05)),
    confidences,
    classes: confidences.map((of, gate) =>
      Int32Array.from(of, (c) => Number(random.uniform() > 1 - Math.exp(-(2 + gate) * (c + 0.1)))),
    ),
  };
}
