import { expect } from 'chai';
import { Random } from '../../src/random.js';
import { binomialCdf, binomialMass, drawBinomial, upperLimit } from '../../src/statistics/binomial.js';

describe('binomial numbers', () => {
  it('have the right probabilities', () => {
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
