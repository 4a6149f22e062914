import { expect } from 'chai';
import { binomialCdf, binomialMass, upperLimit } from '../../src/statistics/binomial.js';

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
});
