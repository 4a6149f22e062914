import { expect } from 'chai';
import { cheapest, choosePromised, frontierOfAll } from '../../src/paper/frontier.js';
import { Random } from '../../src/random.js';
import { type System, staticSystem, systemFindings } from '../../src/run/systems.js';
import type { Scores } from '../../src/thresholds/evaluate.js';
import { certify, certifyAmong } from '../../src/thresholds/guarantee.js';
import { randomImages, randomScores } from '../thresholds/scores.js';

/** A cascade of networks with these FLOPs. */
function planOf(flops: readonly number[]) {
  const costsOf = (gates: readonly number[]): number[] => {
    let sum = 0;
    return [...gates, flops.length - 1].map((network) => {
      sum += flops[network]!;
      return sum;
    });
  };
  return { costsOf, costs: costsOf([...flops.keys()].slice(0, -1)) };
}

const answers = (scores: Scores, exit: number): Int32Array => scores.classes[exit] ?? scores.original;

/** Fewest FLOPs of all systems and thresholds that get at least so many images right, one by one. */
function leastFlops(scores: Scores, flops: readonly number[], images: Int32Array, needed: number): number {
  let least = Number.POSITIVE_INFINITY;
  const search = (asked: readonly number[], thresholds: readonly number[]): void => {
    for (let last = (asked.at(-1) ?? -1) + 1; last < flops.length; last++) {
      let [right, cost] = [0, 0];
      for (const image of images) {
        let at = asked.findIndex((exit, k) => scores.confidences[exit]![image]! >= thresholds[k]!);
        if (at < 0) at = asked.length;
        const exit = asked[at] ?? last;
        right += Number(answers(scores, exit)[image] === scores.labels[image]);
        cost += asked.slice(0, at).reduce((sum, before) => sum + flops[before]!, flops[exit]!);
      }
      if (right >= needed) least = Math.min(least, cost / images.length);
      if (asked.length === 2 || last === flops.length - 1) continue;
      const levels = new Set([...images].map((image) => scores.confidences[last]![image]!));
      for (const level of levels) search([...asked, last], [...thresholds, level]);
    }
  };
  search([], []);
  return least;
}

describe('the frontier of systems', () => {
  it('finds what no network, pair or triple beats, whichever network is the reference', () => {
    const random = new Random(3, 'frontier');
    for (let round = 0; round < 25; round++) {
      const scores = randomScores(random, 4 + random.below(8), 2 + (round % 2));
      const images = randomImages(random, scores.count);
      const flops = [1, 3, 4, 9].slice(0, scores.classes.length + 1);
      const plan = planOf(flops);
      const candidates = frontierOfAll(plan, { scores, images });
      for (const margin of [0, 0.2]) {
        const reference = random.below(flops.length);
        const of = answers(scores, reference);
        const original = images.filter((image) => of[image] === scores.labels[image]).length;
        const needed = Math.ceil(original - margin * images.length - 1e-9);
        const { exits, thresholds } = cheapest(candidates, { scores, images }, reference, margin);
        const { point } = candidates.find((one) => one.exits === exits && one.thresholds === thresholds)!;
        expect(point.correct).to.be.at.least(needed);
        expect(point.flops).to.be.closeTo(leastFlops(scores, flops, images, needed), 1e-9);
      }
    }
  });

  /** Images of three networks of which the cheap ones are right with these probabilities where they are sure. */
  function cascadeScores(random: Random, count: number, sure: number, unsure: number): Scores {
    const labels = new Int32Array(count);
    const confidences = [0, 1].map(() => Float32Array.from({ length: count }, () => random.uniform()));
    const classes = confidences.map((of) =>
      Int32Array.from(of, (confidence) => Number(random.uniform() > (confidence > 0.4 ? sure : unsure))),
    );
    return {
      count,
      labels,
      classes,
      confidences,
      original: Int32Array.from(labels, () => Number(random.uniform() > 0.93)),
    };
  }

  const everyImage = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);
  const promised = { drop: 0.02, confidence: 0.9 };

  it('promises with one system what certify promises', () => {
    const scores = cascadeScores(new Random(1, 's'), 2000, 0.95, 0.6);
    const { costs } = planOf([1, 3, 9]);
    const { system, ...one } = certifyAmong([{ scores, costs }], everyImage(2000), promised, 4);
    expect(one).to.deep.equal(certify(scores, costs, everyImage(2000), promised, 4));
    expect([system, one.open]).to.deep.equal([0, true]);
  });

  it('keeps its promise although it chooses among many systems', () => {
    const random = new Random(5, 'promise');
    const plan = planOf([1, 3, 9]);
    let [broken, saves] = [0, 0];
    const rounds = 150;
    for (let round = 0; round < rounds; round++) {
      const scores = cascadeScores(random, 600, 0.955, 0.85);
      const { exits, thresholds } = choosePromised(plan, { scores, images: everyImage(600) }, promised, round);
      if (exits.length === 1 && exits[0] === 2) continue;
      saves++;
      // The expected accuracy of what was chosen, by the probabilities that the images were drawn with.
      let [stay, expected] = [1, 0];
      for (const [k, exit] of exits.entries()) {
        const threshold = thresholds[k] ?? 0;
        const right = 0.955 * (1 - Math.max(threshold, 0.4)) + 0.85 * Math.max(0, 0.4 - threshold);
        expected += stay * (exit === 2 ? 0.93 : right);
        stay *= threshold;
      }
      if (0.93 - expected > promised.drop) broken++;
    }
    expect(saves).to.be.above(rounds / 3);
    expect(broken / rounds).to.be.below(0.1 + 2 * Math.sqrt((0.1 * 0.9) / rounds));
  });

  it('falls back on the reference alone where nothing can be promised', () => {
    const scores = cascadeScores(new Random(1, 'bad'), 300, 0.5, 0.5);
    const found = choosePromised(
      planOf([1, 3, 9]),
      { scores, images: everyImage(300) },
      { ...promised, drop: 0.001 },
      0,
    );
    expect(found).to.deep.equal({ exits: [2], thresholds: [] });
  });
});

describe('systems in a table', () => {
  const scores = {
    ...randomScores(new Random(2, 'x'), 10, 1),
    labels: new Int32Array(10),
    original: new Int32Array(10),
  };
  const right = (count: number): Int32Array => Int32Array.from({ length: 10 }, (_, i) => Number(i >= count));
  const of = (name: string, accuracy: number, flops: number): System =>
    staticSystem(name, right(10 * accuracy), flops, scores);

  it('stand by their FLOPs, and say which cheapest one dominates them', () => {
    const systems = [
      of('dear', 0.8, 9),
      of('cheap', 0.6, 1),
      of('best', 0.9, 5),
      of('twin', 0.9, 5),
      of('poor', 0.5, 4),
    ];
    const [table] = systemFindings({ name: 'systems', title: 'Systems', systems }).tables;
    const by = table!.rows.map((row) => [row[0], row[2], row.at(-2)]);
    expect(by).to.deep.equal([
      ['cheap', 0.6, null],
      ['poor', 0.5, 'cheap'],
      ['best', 0.9, null],
      ['twin', 0.9, null],
      ['dear', 0.8, 'best'],
    ]);
    const [drop] = table!.rows.map(([, , , , , low, high]) => [low, high] as [number, number]);
    expect(drop![0]).to.be.below(0.4).and.above(0);
  });
});
