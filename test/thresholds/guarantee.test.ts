import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { binomialMass } from '../../src/statistics/intervals.js';
import { evaluate, type Scores } from '../../src/thresholds/evaluate.js';
import { certify, changes } from '../../src/thresholds/guarantee.js';
import { bettingPValue, differenceCdf, dropPValue } from '../../src/thresholds/risk.js';

/** Probability of so many lost and gained images, each image alone. */
const mass = (lost: number, gained: number, n: number, pLost: number, pGained: number): number =>
  binomialMass(lost, n, pLost) * binomialMass(gained, n - lost, pLost < 1 ? Math.min(1, pGained / (1 - pLost)) : 0);

/** Every (lost, gained) that n images can have. */
const outcomes = (n: number): [lost: number, gained: number][] =>
  Array.from({ length: n + 1 }, (_, lost) =>
    Array.from({ length: n - lost + 1 }, (_, gained): [number, number] => [lost, gained]),
  ).flat();

const drops = [1e-6, 0.005, 0.02, 0.1, 0.2, 0.3, 0.5, 0.9, 0.999];

describe('differenceCdf', () => {
  it('is the sum over all ways of losing and gaining', () => {
    const [n, drop] = [25, 0.1];
    for (const changed of [0.1001, 0.2, 0.6]) {
      for (let t = -6; t <= 12; t++) {
        let sum = 0;
        for (let lost = 0; lost <= n; lost++) {
          for (let gained = Math.max(0, lost - t); gained <= n - lost; gained++) {
            sum += mass(lost, gained, n, (changed + drop) / 2, (changed - drop) / 2);
          }
        }
        expect(differenceCdf(t, n, changed, drop), `${t} ${changed}`).to.be.closeTo(sum, 1e-9);
      }
    }
  });

  it('is that sum for every small number of images, to where all answers change and all changed ones are lost', () => {
    for (let n = 0; n <= 9; n++) {
      for (const drop of [0, ...drops]) {
        for (const changed of [drop, drop + 1.2e-16, (1 + drop) / 2, 1 - 1e-16, 1]) {
          if (changed === 0) continue;
          for (let t = -n; t <= n; t++) {
            const sum = outcomes(n)
              .filter(([lost, gained]) => lost - gained <= t)
              .reduce((all, [lost, gained]) => {
                return all + mass(lost, gained, n, (changed + drop) / 2, Math.max(0, changed - drop) / 2);
              }, 0);
            expect(differenceCdf(t, n, changed, drop), `${t} of ${n}: ${changed}, ${drop}`).to.be.closeTo(sum, 1e-9);
          }
        }
      }
    }
  });

  it('comes near the normal distribution on many images', () => {
    const [n, changed, drop] = [1_000_000, 0.04, 0.005];
    const deviation = Math.sqrt(n * (changed - drop ** 2));
    expect(differenceCdf(Math.round(n * drop - 1.645 * deviation), n, changed, drop)).to.be.closeTo(0.05, 0.001);
  });
});

describe('dropPValue', () => {
  it('is at most the level with at most that probability, whatever share of the answers changes', () => {
    const level = 0.05;
    let largest = 0;
    for (const [n, drop] of [
      [60, 0.1],
      [120, 0.02],
    ] as const) {
      for (const changed of [drop + 1e-9, 1.5 * drop, 3 * drop, 0.4, 0.9]) {
        let rejected = 0;
        for (let lost = 0; lost <= n; lost++) {
          for (let gained = 0; gained <= n - lost; gained++) {
            const probability = mass(lost, gained, n, (changed + drop) / 2, Math.max(0, (changed - drop) / 2));
            if (probability > 1e-9 && dropPValue(lost, gained, n, drop, level) <= level) rejected += probability;
          }
        }
        expect(rejected, `${n} ${changed}`).to.be.at.most(level);
        largest = Math.max(largest, rejected);
      }
    }
    expect(largest, 'not needlessly careful').to.be.above(0.03);
  });

  it('is never NaN, and rejects rarely enough, for every outcome of few images and every share of changed answers', () => {
    for (const level of [0.05, 0.3]) {
      for (const n of [1, 2, 5, 10, 16]) {
        for (const drop of drops) {
          const rejected = outcomes(n).filter(([lost, gained]) => {
            const p = dropPValue(lost, gained, n, drop, level);
            expect(p, `${lost}, ${gained} of ${n}, drop ${drop}`).to.be.within(0, 1);
            return p <= level;
          });
          for (let i = 0; i <= 20; i++) {
            const changed = drop + ((1 - drop) * i) / 20;
            const chance = rejected.reduce((sum, [lost, gained]) => {
              return sum + mass(lost, gained, n, (changed + drop) / 2, Math.max(0, changed - drop) / 2);
            }, 0);
            expect(chance, `n ${n}, drop ${drop}, changed ${changed}, level ${level}`).to.be.at.most(level + 1e-12);
          }
        }
      }
    }
  });

  it('certifies nothing if all answers changed and the drop reaches the limit', () => {
    expect(dropPValue(7, 3, 10, 0.3, 0.2)).to.be.above(0.2);
    expect(dropPValue(680, 320, 1000, 0.3, 0.05)).to.be.above(0.9);
    expect(dropPValue(500, 500, 1000, 0.3, 0.05)).to.be.below(0.01);
  });

  it('refuses invalid samples', () => {
    for (const [lost, gained, n, drop, level] of [
      [6, 5, 10, 0.1, 0.05],
      [-1, 0, 10, 0.1, 0.05],
      [1, 0.5, 10, 0.1, 0.05],
      [Number.NaN, 0, 10, 0.1, 0.05],
      [0, 0, Number.NaN, 0.1, 0.05],
      [0, 0, 10, Number.NaN, 0.05],
      [0, 0, 10, 1, 0.05],
      [0, 0, 10, 0.1, Number.NaN],
      [0, 0, 10, 0.1, 0],
    ] as const) {
      expect(() => dropPValue(lost, gained, n, drop, level)).to.throw(RangeError);
    }
  });

  it('falls with more images, rises with more losses', () => {
    const p = (lost: number, gained: number, n: number) => dropPValue(lost, gained, n, 0.01, 0.05);
    expect(p(0, 0, 100)).to.be.above(0.3);
    expect(p(0, 0, 1000)).to.be.below(0.01);
    expect(p(35, 3, 5000))
      .to.be.below(p(42, 3, 5000))
      .and.below(p(55, 23, 5000));
    expect(p(60, 0, 5000)).to.be.above(0.9);
  });
});

describe('bettingPValue', () => {
  it('is at most the level in at most that share of draws where the loss is as large as the limit', () => {
    const random = new Random(9, 'betting');
    for (const [drop, changed] of [
      [0.02, 0.02],
      [0.02, 0.1],
      [0.3, 1],
    ] as const) {
      let rejected = 0;
      for (let draw = 0; draw < 1500; draw++) {
        const losses = Int8Array.from({ length: 300 }, () => {
          const at = random.uniform();
          return at < (changed + drop) / 2 ? 1 : at < changed ? -1 : 0;
        });
        rejected += Number(bettingPValue(losses, drop, 0.05) <= 0.05);
      }
      expect(rejected, `${drop}, ${changed}`).to.be.at.most(105); // P(more than 105 of 1500 at 5 %) < 0.05 %
    }
  });

  it('is between 0 and 1, small where nothing is lost, 1 where all is', () => {
    expect(bettingPValue(new Int8Array(3000), 0.01, 0.05)).to.be.within(0, 0.01);
    expect(bettingPValue(new Int8Array(300).fill(1), 0.01, 0.05)).to.equal(1);
    expect(bettingPValue(new Int8Array(0), 0.01, 0.05)).to.equal(1);
  });
});

describe('certify', () => {
  const costs = [1, 4, 10];
  /** Gates are more often right on confident images. The true drop of any thresholds is known. */
  const draw = (random: Random, count: number): Scores => {
    const confidences = [0, 1].map(() => Float32Array.from({ length: count }, () => random.uniform()));
    const wrong = (c: number, gate: number): number => Number(random.uniform() < (0.3 - 0.1 * gate) * (1 - c) ** 2);
    return {
      count,
      labels: new Int32Array(count),
      original: Int32Array.from({ length: count }, () => Number(random.uniform() < 0.03)),
      confidences,
      classes: confidences.map((of, gate) => Int32Array.from(of, (c) => wrong(c, gate))),
    };
  };
  const all = (scores: Scores) => Int32Array.from({ length: scores.count }, (_, i) => i);
  const closed = [Infinity, Infinity];

  it('breaks the guarantee as rarely as stated, on a known population', () => {
    const random = new Random(50, 'certify');
    const population = draw(random, 200_000);
    const promised = { drop: 0.01, confidence: 0.9 };
    let [broken, opened, saved] = [0, 0, 0];
    for (let trial = 0; trial < 60; trial++) {
      const images = Int32Array.from({ length: 2000 }, () => random.below(population.count));
      const { thresholds, open } = certify(population, costs, images, promised, trial);
      const { lost, gained } = changes(population, thresholds, all(population));
      if ((lost - gained) / population.count > promised.drop) broken++;
      if (open) opened++;
      saved += 1 - evaluate(population, thresholds, costs).flops / 10;
    }
    expect(broken).to.be.at.most(12); // P(more than 12 of 60 at 10 %) < 0.5 %
    expect(opened).to.be.above(50);
    expect(saved / 60).to.be.above(0.2);
  });

  it('by betting breaks it as rarely; conformal risk control keeps it on average', () => {
    const random = new Random(55, 'methods');
    const population = draw(random, 50_000);
    for (const method of ['betting', 'conformal'] as const) {
      let [broken, sum, opened] = [0, 0, 0];
      for (let trial = 0; trial < 60; trial++) {
        const images = Int32Array.from({ length: 1500 }, () => random.below(population.count));
        const found = certify(population, costs, images, { drop: 0.01, confidence: 0.9, method }, trial);
        const { lost, gained } = changes(population, found.thresholds, all(population));
        const drop = (lost - gained) / population.count;
        broken += Number(drop > 0.01);
        sum += drop;
        opened += Number(found.open);
      }
      if (method === 'betting') expect(broken).to.be.at.most(12);
      expect(sum / 60, method).to.be.at.most(0.01);
      expect(opened, method).to.be.above(20);
    }
  });

  it('breaks it no more often where every answer changes', () => {
    // The gate is wrong where the network is right, and the other way round: 65.1 % against 34.9 %.
    const random = new Random(54, 'certify');
    let opened = 0;
    for (let trial = 0; trial < 400; trial++) {
      const count = 300;
      const original = Int32Array.from({ length: count }, () => Number(random.uniform() >= 0.651));
      const scores: Scores = {
        count,
        labels: new Int32Array(count),
        original,
        classes: [original.map((answer) => 1 - answer)],
        confidences: [new Float32Array(count).fill(1)],
      };
      if (certify(scores, [1, 4], all(scores), { drop: 0.3, confidence: 0.95 }, trial).open) opened++;
    }
    expect(opened).to.be.within(1, 34); // P(more than 34 of 400 at 5 %) < 0.1 %; the test must be able to open
  });

  it('closes all gates if nothing can be certified', () => {
    const scores = draw(new Random(51), 40);
    const found = certify(scores, costs, all(scores), { drop: 0.001, confidence: 0.99 }, 0);
    expect(found).to.deep.include({ thresholds: closed, open: false, proposedOn: 12, testedOn: 28 });
  });

  it('never tests on images that proposed, and is the same for the same seed', () => {
    const scores = draw(new Random(52), 3000);
    const promised = { drop: 0.02, confidence: 0.95 };
    const found = certify(scores, costs, all(scores), promised, 7);
    expect(found).to.deep.equal(certify(scores, costs, all(scores), promised, 7));
    expect(found.proposedOn + found.testedOn).to.equal(3000);
    expect(found.pValue).to.be.at.most(0.05);
    expect(found.open).to.equal(true);
  });

  it('counts lost and gained images consistently with the accuracy', () => {
    const scores = draw(new Random(53), 500);
    const { lost, gained } = changes(scores, [0.7, 0.2], all(scores));
    const drop = evaluate(scores, closed, costs).correct - evaluate(scores, [0.7, 0.2], costs).correct;
    expect(lost - gained).to.equal(drop);
    expect(Math.min(lost, gained)).to.be.above(0);
  });
});
