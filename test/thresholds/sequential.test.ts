import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { evaluate, type Scores, type Thresholds } from '../../src/thresholds/evaluate.js';
import { coordinateSearch, searches, searchMethods, sequentialSearch } from '../../src/thresholds/methods.js';

import { randomCosts, randomImages, randomScores } from './scores.js';

/** Each gate in turn: every confidence there is tried as its threshold, the gates after it closed. */
function bruteForce(scores: Scores, costs: readonly number[], images: Int32Array, required: number): Thresholds {
  const chosen: number[] = [];
  for (const confidences of scores.confidences) {
    const closedAfter = costs.slice(chosen.length + 2).map(() => Infinity);
    let best = { threshold: Infinity, flops: Infinity };
    // From above, so that of the thresholds that let the same images go the highest is taken.
    const candidates = [Infinity, ...Array.from(images, (image) => confidences[image]!)].sort((a, b) => b - a);
    for (const threshold of candidates) {
      const { accuracy, flops } = evaluate(scores, [...chosen, threshold, ...closedAfter], costs, images);
      if (accuracy < required - 1e-9) continue;
      if (flops < best.flops) best = { threshold, flops };
    }
    chosen.push(best.threshold);
  }
  return chosen;
}

describe('sequentialSearch', () => {
  it('equals trying every threshold of every gate, ties included', () => {
    const random = new Random(21, 'sequential');
    let open = 0;
    for (let trial = 0; trial < 400; trial++) {
      const gates = 1 + random.below(3);
      const scores = randomScores(random, 2 + random.below(25), gates);
      const costs = randomCosts(random, gates);
      const images = randomImages(random, scores.count);
      const closed = costs.slice(1).map(() => Infinity);
      const required = evaluate(scores, closed, costs, images).accuracy - random.below(5) / 20;
      const found = sequentialSearch(scores, costs, images, required);
      const expected = bruteForce(scores, costs, images, required);
      expect(found, `trial ${trial}`).to.deep.equal(expected);
      expect(evaluate(scores, found, costs, images).accuracy).to.be.at.least(required - 1e-9);
      open += found.filter(Number.isFinite).length;
    }
    expect(open, 'the cases are not all closed gates').to.be.above(200);
  });

  // Images 0 .. 5 leave the gate in this order; it is right, wrong, right, right, wrong, wrong. The network is always right.
  const scores: Scores = {
    count: 6,
    labels: new Int32Array(6),
    original: new Int32Array(6),
    classes: [Int32Array.of(0, 1, 0, 0, 1, 1)],
    confidences: [Float32Array.of(6, 5, 4, 3, 2, 1)],
  };
  const all = Int32Array.of(0, 1, 2, 3, 4, 5);
  const search = (required: number, given = scores): number => sequentialSearch(given, [1, 2], all, required)[0]!;

  it('takes the lowest threshold that is good enough', () => {
    expect(search(6 / 6)).to.equal(6);
    expect(search(5 / 6)).to.equal(3); // one mistake: not 6, nor 5, though both would do
    expect(search(4 / 6)).to.equal(2);
    expect(search(3 / 6)).to.equal(1);
    expect(search(0)).to.equal(1);
    expect(search(5 / 6 + 1e-6)).to.equal(6);
  });

  it('never separates images of one confidence: they leave together', () => {
    const tied = { ...scores, confidences: [Float32Array.of(5, 5, 5, 3, 3, 3)] };
    expect(search(6 / 6, tied)).to.equal(Number.POSITIVE_INFINITY);
    expect(search(5 / 6, tied)).to.equal(5);
    expect(search(4 / 6, tied)).to.equal(5);
    expect(search(3 / 6, tied)).to.equal(3);
  });

  it('continues past mistakes that later images compensate', () => {
    // The network is wrong about images 2 and 3, the gate right: from 3 on, nothing is lost by leaving.
    const mended = { ...scores, original: Int32Array.of(0, 0, 1, 1, 0, 0) };
    expect(search(4 / 6, mended)).to.equal(2);
    expect(search(5 / 6, mended)).to.equal(3);
  });

  it('closes a gate if no threshold reaches the required accuracy', () => {
    const wrong = { ...scores, classes: [new Int32Array(6).fill(1)] };
    expect(search(1, wrong)).to.equal(Number.POSITIVE_INFINITY);
    expect(search(1.01)).to.equal(Number.POSITIVE_INFINITY);
  });

  it('uses only the given images', () => {
    expect(sequentialSearch(scores, [1, 2], Int32Array.of(2, 3), 1)).to.deep.equal([3]);
    expect(sequentialSearch(scores, [1, 2], Int32Array.of(1, 4), 1)).to.deep.equal([Number.POSITIVE_INFINITY]);
  });

  it('allows later gates only the mistakes that earlier gates did not make', () => {
    const two: Scores = {
      ...scores,
      classes: [Int32Array.of(0, 1, 0, 0, 1, 1), Int32Array.of(1, 1, 1, 1, 0, 0)],
      confidences: [Float32Array.of(6, 5, 4, 3, 2, 1), Float32Array.of(9, 9, 9, 9, 8, 7)],
    };
    // The first gate lets 0 .. 3 go with one mistake; 4 and 5 are right at the second.
    expect(sequentialSearch(two, [1, 2, 3], all, 5 / 6)).to.deep.equal([3, 7]);
    // If the second is wrong about image 5, no mistake is left for it.
    const spent = { ...two, classes: [two.classes[0]!, Int32Array.of(1, 1, 1, 1, 0, 1)] };
    expect(sequentialSearch(spent, [1, 2, 3], all, 5 / 6)).to.deep.equal([3, 8]);
    expect(sequentialSearch(two, [1, 2, 3], all, 0)).to.deep.equal([1, Number.POSITIVE_INFINITY]);
  });
});

describe('readings of section 3.1', () => {
  const all = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);

  it('spend the margin differently: none is dearer than the sequential search, the joint one is the cheapest', () => {
    const random = new Random(41, 'readings');
    const cheaper = { lookahead: 0, coordinate: 0, joint: 0 };
    for (let trial = 0; trial < 300; trial++) {
      const gates = 2 + (trial % 2);
      const [scores, costs] = [randomScores(random, 25, gates), randomCosts(random, gates)];
      const closed = evaluate(scores, costs.slice(1).fill(Number.POSITIVE_INFINITY), costs).accuracy;
      const required = closed - 0.1;
      const found = searchMethods.map((method) => searches[method].on(scores, costs, all(25))(required));
      const points = found.map((thresholds) => evaluate(scores, thresholds, costs));
      const [sequential, lookahead, coordinate, joint] = points.map(({ flops }) => flops) as [
        number,
        number,
        number,
        number,
      ];
      for (const { accuracy } of points) expect(accuracy, `trial ${trial}`).to.be.at.least(required - 1e-9);
      for (const other of [lookahead, coordinate, joint]) expect(other).to.be.at.most(sequential);
      expect(joint, `trial ${trial}`).to.be.at.most(Math.min(lookahead, coordinate));
      // Whatever the first gate leaves of the margin, the second spends: with two gates nothing is cheaper.
      if (gates === 2) expect(lookahead).to.equal(joint);
      for (const [name, flops] of Object.entries({ lookahead, coordinate, joint })) {
        cheaper[name as keyof typeof cheaper] += Number(flops < sequential);
      }
    }
    for (const [name, count] of Object.entries(cheaper)) expect(count, name).to.be.above(0);
  });

  it('coordinate passes end where no gate alone saves anything', () => {
    const random = new Random(42, 'readings');
    for (let trial = 0; trial < 40; trial++) {
      const [scores, costs] = [randomScores(random, 20, 3), randomCosts(random, 3)];
      const required = evaluate(scores, [Infinity, Infinity, Infinity], costs).accuracy - 0.15;
      const found = coordinateSearch(scores, costs, all(20), required);
      const { flops } = evaluate(scores, found, costs);
      for (const gate of found.keys()) {
        for (const level of new Set(scores.confidences[gate])) {
          const other = evaluate(scores, found.with(gate, level), costs);
          expect(other.accuracy < required - 1e-9 || other.flops >= flops, `trial ${trial}`).to.equal(true);
        }
      }
    }
  });

  it('never take a confidence that is not a number for a threshold', () => {
    const random = new Random(43, 'readings');
    const [scores, costs] = [randomScores(random, 12, 2), randomCosts(random, 2)];
    for (const confidences of scores.confidences) confidences.fill(Number.NaN, 4);
    for (const method of searchMethods) {
      expect(searches[method].on(scores, costs, all(12))(0), method).to.not.include(Number.NaN);
    }
  });
});
