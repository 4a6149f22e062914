import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { binomialCdf, binomialMass, drawBinomial, logGamma, upperLimit } from '../../src/statistics/binomial.js';
import { bootstrap, combineOutcomes, countOutcomes } from '../../src/thresholds/bootstrap.js';
import { evaluate } from '../../src/thresholds/evaluate.js';
import { randomCosts, randomScores } from './scores.js';

describe('binomial numbers', () => {
  it('have the right probabilities', () => {
    expect(logGamma(5)).to.be.closeTo(Math.log(24), 1e-13);
    expect(logGamma(10_001) / 82108.92783681446).to.be.closeTo(1, 1e-13); // ln 10000!
    expect(binomialMass(3, 10, 0.25)).to.be.closeTo((120 * 3 ** 7) / 4 ** 10, 1e-14);
    expect([binomialMass(0, 5, 0), binomialMass(5, 5, 1), binomialMass(6, 5, 0.5)]).to.deep.equal([1, 1, 0]);
    for (const [n, p] of [
      [1, 0.3],
      [20, 0.05],
      [50, 0.9],
    ] as const) {
      let sum = 0;
      for (let k = 0; k <= n; k++) {
        sum += binomialMass(k, n, p);
        expect(binomialCdf(k, n, p)).to.be.closeTo(sum, 1e-12);
      }
    }
    // R: pbinom(6, 2500, 0.005) and binom.test(3, 100, alternative = "less")'s upper limit
    expect(binomialCdf(6, 2500, 0.005)).to.be.closeTo(0.0342, 0.0005);
    expect(upperLimit(3, 100, 0.05)).to.be.closeTo(0.07571, 1e-5);
    expect(upperLimit(0, 100, 0.05)).to.be.closeTo(1 - 0.05 ** 0.01, 1e-12);
  });

  it('are drawn as often as they should be', () => {
    const random = new Random(1, 'binomial');
    for (const [n, p] of [
      [10, 0.5],
      [30, 0.02],
      [1000, 0.97],
    ] as const) {
      const counts = new Map<number, number>();
      for (let i = 0; i < 20_000; i++) {
        const drawn = drawBinomial(random, n, p);
        counts.set(drawn, (counts.get(drawn) ?? 0) + 1);
      }
      for (let k = 0; k <= n; k++) {
        const expected = 20_000 * binomialMass(k, n, p);
        expect(Math.abs((counts.get(k) ?? 0) - expected)).to.be.below(5 * Math.sqrt(expected) + 5);
      }
    }
    expect([drawBinomial(random, 7, 0), drawBinomial(random, 7, 1), drawBinomial(random, 0, 0.5)]).to.deep.equal([
      0, 7, 0,
    ]);
  });
});

describe('bootstrap', () => {
  const random = new Random(2, 'bootstrap test');
  const scores = randomScores(random, 800, 2);
  const costs = randomCosts(random, 2);
  const thresholds = [1, 0.5];
  const counts = countOutcomes(scores, thresholds);

  it('rests on counts that hold all that accuracy, drop and FLOPs depend on', () => {
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

  it('gives the intervals that drawing images one by one gives', () => {
    const drops = [];
    const flops = [];
    for (let r = 0; r < 3000; r++) {
      const images = Int32Array.from({ length: 800 }, () => random.below(800));
      const gated = evaluate(scores, thresholds, costs, images);
      drops.push(evaluate(scores, [Infinity, Infinity], costs, images).accuracy - gated.accuracy);
      flops.push(gated.flops);
    }
    const found = bootstrap(counts, costs, { seed: 0, resamples: 3000 });
    for (const [interval, values] of [
      [found.accuracyDrop, drops],
      [found.flops, flops],
    ] as const) {
      values.sort((a, b) => a - b);
      const width = values[2925]! - values[75]!;
      expect(interval[0]).to.be.closeTo(values[75]!, 0.08 * width);
      expect(interval[1]).to.be.closeTo(values[2925]!, 0.08 * width);
    }
  });

  it('is paired: what both networks get wrong alike widens no interval of the drop', () => {
    const alike = Int32Array.of(300, 0, 0, 500); // one exit, the original's
    const { accuracy, accuracyDrop } = bootstrap(alike, [7], { seed: 0 });
    expect(accuracyDrop).to.deep.equal([0, 0]);
    expect(accuracy[1] - accuracy[0]).to.be.closeTo(4 * Math.sqrt((0.375 * 0.625) / 800), 0.02);
  });

  it('is the same for the same seed, and holds the estimate', () => {
    const { accuracy } = evaluate(scores, thresholds, costs);
    const found = bootstrap(counts, costs, { seed: 3 });
    expect(found).to.deep.equal(bootstrap(counts, costs, { seed: 3 }));
    expect(found).not.to.deep.equal(bootstrap(counts, costs, { seed: 4 }));
    expect(accuracy).to.be.within(...(found.accuracy as [number, number]));
  });
});
