import { expect } from 'chai';
import { chiSquaredTail } from '../../src/statistics/gamma.js';

// scipy 1.10: scipy.stats.chi2.sf(x, freedom)
const golden = [
  [20 / 3, 1, 0.009823274507519235],
  [18.307, 10, 0.05000058909139812],
  [0.5, 1, 0.47950012218695337],
  [3, 2, 0.22313016014842982],
  [100, 50, 3.454931382984871e-5],
  [1000, 891, 0.006220687279978942],
  [1200, 891, 1.7068430871564588e-11],
  [0, 3, 1],
] as const;

describe('the tail of chi-squared', () => {
  for (const [x, freedom, tail] of golden) {
    it(`at ${x.toPrecision(4)} with ${freedom} degrees of freedom is scipy's`, () => {
      expect(chiSquaredTail(x, freedom) / tail).to.be.closeTo(1, 1e-9);
    });
  }
});
