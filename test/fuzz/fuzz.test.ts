import { expect } from 'chai';
import { fuzz } from './fuzz.js';
import { readers } from './readers/index.js';

/** Inputs of each reader in the suite, few of those that ask for much; `npm run test:fuzz` reads 350,000. */
const INPUTS = { usual: 150, amplified: 3 };

describe('damaged and hostile files', () => {
  for (const reader of readers) {
    it(`${reader.name}: read or refused, within a second each`, async () => {
      // The same inputs every time: what fails here was there yesterday.
      const count = reader.isAmplified === true ? INPUTS.amplified : INPUTS.usual;
      const { failure, accepted, refused, inputs } = await fuzz(reader, { seed: 20261122, inputs: count });
      expect(failure, failure).to.equal(undefined);
      expect(inputs).to.equal(count);
      expect(accepted + refused).to.equal(count);
    });
  }
});
