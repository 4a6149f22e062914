import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { combine, type Evaluation, evaluate, exitCosts, exitOf, type Scores } from '../../src/thresholds/evaluate.js';
import { randomCosts, randomImages, randomScores } from './scores.js';

/** Two gates and four images of classes 0 .. 3; gate 1 is right about images 0 and 1, gate 2 about 1 and 2. */
const small: Scores = {
  count: 4,
  labels: Int32Array.of(0, 1, 2, 3),
  original: Int32Array.of(0, 1, 2, 0),
  classes: [Int32Array.of(0, 1, 0, 0), Int32Array.of(1, 1, 2, 0)],
  confidences: [Float32Array.of(1.5, 1, 0.5, -1), Float32Array.of(0, 0.25, 2, -0.5)],
};
const costs = [10, 30, 100];

describe('exitCosts', () => {
  it('are the network up to the gate and every gate passed on the way, that gate included', () => {
    expect(exitCosts([100, 250, 700], [3, 5, 7], 1000)).to.deep.equal([103, 258, 715, 1015]);
    expect(exitCosts([], [], 1000)).to.deep.equal([1000]);
  });
});

describe('evaluate', () => {
  it('lets an image go at the first gate whose confidence reaches its threshold, equality included', () => {
    expect([0, 1, 2, 3].map((image) => exitOf(small, [1, 2], image))).to.deep.equal([0, 0, 1, 2]);
    const above = Math.fround(1) + 2 ** -30;
    expect([0, 1, 2, 3].map((image) => exitOf(small, [above, 0.25], image))).to.deep.equal([0, 1, 1, 2]);
    expect(evaluate(small, [1, 2], costs)).to.deep.equal({
      accuracy: 3 / 4,
      flops: (10 + 10 + 30 + 100) / 4,
      exits: [2, 1, 1],
      correct: 3,
      count: 4,
    });
  });

  it('never lets an image go at a gate closed by Infinity, always at one opened by -Infinity', () => {
    const infinite = { ...small, confidences: small.confidences.map((values) => values.map(() => 1e38)) };
    const { exits, accuracy, flops } = evaluate(infinite, [Infinity, Infinity], costs);
    expect([exits, accuracy, flops]).to.deep.equal([[0, 0, 4], 3 / 4, 100]);
    expect(evaluate(small, [Infinity, -Infinity], costs).exits).to.deep.equal([0, 4, 0]);
    expect(evaluate(small, [-Infinity, -Infinity], costs).exits).to.deep.equal([4, 0, 0]);
  });

  it('passes an image with confidence NaN to the last exit', () => {
    const unsure = { ...small, confidences: small.confidences.map((values) => values.map(() => Number.NaN)) };
    expect(evaluate(unsure, [0, 0], costs).exits).to.deep.equal([0, 0, 4]);
  });

  it('evaluates images by their positions', () => {
    expect(evaluate(small, [1, 2], costs, [3, 1])).to.deep.equal({
      accuracy: 1 / 2,
      flops: (100 + 10) / 2,
      exits: [1, 0, 1],
      correct: 1,
      count: 2,
    });
  });

  it('does as Algorithm 1 does on any scores', () => {
    const random = new Random(11, 'evaluate');
    for (let trial = 0; trial < 300; trial++) {
      const gates = random.below(4);
      const scores = randomScores(random, 1 + random.below(30), gates);
      const prices = randomCosts(random, gates);
      const thresholds = Array.from({ length: gates }, () =>
        random.below(8) === 0 ? Infinity : random.below(9) / 2 - 2,
      );
      const images = randomImages(random, scores.count);
      expect(evaluate(scores, thresholds, prices, images)).to.deep.equal(
        algorithm1(scores, thresholds, prices, images),
      );
    }
  });
});

describe('combine', () => {
  it('makes one evaluation of several on disjoint images, each weighted by its images', () => {
    const random = new Random(12, 'combine');
    for (let trial = 0; trial < 50; trial++) {
      const scores = randomScores(random, 20, 2);
      const prices = randomCosts(random, 2);
      const positions = random.shuffle(Int32Array.from({ length: 20 }, (_, i) => i));
      const cut = 1 + random.below(19);
      const parts = [positions.slice(0, cut), positions.slice(cut)];
      const found = combine(parts.map((images) => evaluate(scores, [0.5, 1], prices, images)));
      const { flops, ...others } = evaluate(scores, [0.5, 1], prices);
      expect(found).to.deep.include(others);
      expect(found.flops / flops).to.be.closeTo(1, 1e-12);
    }
  });

  it('does not change a single evaluation', () => {
    const part = evaluate(small, [1, 2], costs);
    expect(combine([part])).to.deep.equal(part);
  });
});

/** Algorithm 1 of the paper, image by image. */
function algorithm1(
  scores: Scores,
  thresholds: readonly number[],
  prices: readonly number[],
  images: ArrayLike<number>,
): Evaluation {
  const exits = prices.map(() => 0);
  let [correct, spent] = [0, 0];
  for (const image of Array.from(images)) {
    let exit = 0;
    while (exit < thresholds.length && !(scores.confidences[exit]![image]! >= thresholds[exit]!)) exit++;
    const answer = exit === thresholds.length ? scores.original[image] : scores.classes[exit]![image];
    if (answer === scores.labels[image]) correct++;
    exits[exit]!++;
    spent += prices[exit]!;
  }
  const count = images.length;
  return { accuracy: correct / count, flops: spent / count, exits, correct, count };
}
