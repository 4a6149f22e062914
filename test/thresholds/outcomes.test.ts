import { expect } from 'chai';
import { Random } from '../../src/random.js';
import {
  changesOf,
  combineOutcomes,
  countOutcomes,
  evaluate,
  outcomeIntervals,
} from '../../src/thresholds/evaluate.js';

import { randomCosts, randomScores } from './scores.js';

describe('intervals of outcomes', () => {
  const random = new Random(2, 'bootstrap test');
  const scores = randomScores(random, 800, 2);
  const costs = randomCosts(random, 2);
  const thresholds = [1, 0.5];
  const counts = countOutcomes(scores, thresholds);

  it('uses counts that determine accuracy, drop and FLOPs', () => {
    const { exits, correct } = evaluate(scores, thresholds, costs);
    const sum = (of: (outcome: number) => boolean): number =>
      counts.filter((_, outcome) => of(outcome)).reduce((a, b) => a + b, 0);
    expect([0, 1, 2].map((exit) => sum((outcome) => outcome >> 2 === exit))).to.deep.equal(exits);
    expect(sum((outcome) => (outcome & 2) > 0)).to.equal(correct);
    expect(sum((outcome) => (outcome & 1) > 0)).to.equal(evaluate(scores, [Infinity, Infinity], costs).correct);
    const half = Int32Array.from({ length: 400 }, (_, i) => 2 * i);
    const other = half.map((i) => i + 1);
    const parts = [half, other].map((images) => countOutcomes(scores, thresholds, images));
    expect(combineOutcomes(parts)).to.deep.equal(counts);
  });

  it('agrees with the bootstrap that draws images one by one, where many answers change', () => {
    const drops = [];
    const flops = [];
    for (let r = 0; r < 3000; r++) {
      const images = Int32Array.from({ length: 800 }, () => random.below(800));
      const gated = evaluate(scores, thresholds, costs, images);
      drops.push(evaluate(scores, [Infinity, Infinity], costs, images).accuracy - gated.accuracy);
      flops.push(gated.flops);
    }
    const found = outcomeIntervals(counts, costs);
    for (const [interval, values] of [
      [found.accuracyDrop, drops],
      [found.flops, flops],
    ] as const) {
      values.sort((a, b) => a - b);
      const width = values[2925]! - values[75]!;
      expect(interval.low).to.be.closeTo(values[75]!, 0.08 * width);
      expect(interval.high).to.be.closeTo(values[2925]!, 0.08 * width);
    }
  });

  it('is paired: common errors of both networks do not widen the interval of the drop', () => {
    const alike = Int32Array.of(300, 0, 0, 500); // one exit, the original's
    const { accuracy, accuracyDrop } = outcomeIntervals(alike, [7]);
    // No answer changed: up to z^2 / (n + z^2) either way, not 0.
    expect(accuracyDrop.high).to.be.closeTo(3.8415 / 803.8415, 1e-6);
    expect(accuracyDrop.low).to.be.closeTo(-accuracyDrop.high, 1e-9);
    expect(accuracy.high - accuracy.low).to.be.closeTo(4 * Math.sqrt((0.375 * 0.625) / 800), 0.02);
  });

  it('includes the estimates', () => {
    const { accuracy, flops } = evaluate(scores, thresholds, costs);
    const found = outcomeIntervals(counts, costs);
    expect(accuracy).to.be.within(found.accuracy.low, found.accuracy.high);
    expect(flops).to.be.within(found.flops.low, found.flops.high);
  });

  it('says how many answers differ, and what the worst class loses', () => {
    const small = {
      count: 6,
      classes: [Int32Array.of(0, 1, 1, 1, 0, 2)],
      confidences: [Float32Array.of(1, 1, 1, 0, 1, 1)],
      original: Int32Array.of(0, 0, 1, 2, 1, 2),
      labels: Int32Array.of(0, 0, 1, 1, 1, 1),
    };
    const images = [0, 1, 2, 3, 4, 5];
    // Images 1 and 4 leave with another answer; class 0 loses one of two, class 1 one of four.
    expect(changesOf([{ scores: small, thresholds: [0.5], images }])).to.deep.equal({
      disagreement: 2 / 6,
      worstClassDrop: 1 / 2,
    });
    const halves = [
      [0, 1, 2],
      [3, 4, 5],
    ].map((part) => ({ scores: small, thresholds: [0.5], images: part }));
    expect(changesOf(halves)).to.deep.equal({ disagreement: 2 / 6, worstClassDrop: 1 / 2 });
    expect(changesOf([{ scores: small, thresholds: [Infinity], images }])).to.deep.equal({
      disagreement: 0,
      worstClassDrop: 0,
    });
  });
});
