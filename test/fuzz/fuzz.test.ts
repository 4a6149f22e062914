import { expect } from 'chai';
import { fuzz } from './fuzz.js';
import { readers } from './readers/index.js';

/** Inputs per reader in the suite; `npm run test:fuzz` reads 200,000 and more. */
const INPUTS = 150;

describe('damaged and hostile files', () => {
  for (const reader of readers) {
    it(`${reader.name}: read or refused, within a second each`, async () => {
      // The same inputs every time: what fails here was there yesterday.
      const { failure, accepted, refused, inputs } = await fuzz(reader, { seed: 20261122, inputs: INPUTS });
      expect(failure, failure).to.equal(undefined);
      expect(inputs).to.equal(INPUTS);
      expect(accepted + refused).to.equal(INPUTS);
    });
  }
});
