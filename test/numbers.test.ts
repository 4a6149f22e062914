import { expect } from 'chai';
import fc from 'fast-check';
import { decimalNumber, wholeNumber } from '../src/json.js';

describe('numbers in texts of others', () => {
  const none = [
    '',
    ' ',
    '0x0',
    '0x10',
    '0b1',
    '0o7',
    '6.4e2',
    '1_000',
    '1,000',
    ' 1',
    '1 ',
    '+1',
    '1n',
    '--1',
    '١',
    'NaN',
  ];

  it('are whole ones in plain digits', () => {
    expect(['0', '7', '007', '-3', '9007199254740991'].map(wholeNumber)).to.deep.equal([0, 7, 7, -3, 2 ** 53 - 1]);
    for (const text of [...none, '1.0', '1e3', 'Infinity', '9007199254740993', '99999999999999999999']) {
      expect(wholeNumber(text), text).to.equal(undefined);
    }
    fc.assert(fc.property(fc.maxSafeInteger(), (value) => wholeNumber(String(value)) === value + 0));
  });

  it('are decimal ones', () => {
    expect(['-0.24', '.5', '1e-3', '+2', '6.4e2'].map(decimalNumber)).to.deep.equal([-0.24, 0.5, 0.001, 2, 640]);
    for (const text of ['', ' ', '0x0', '0x1p3', '1_000', ' 1', '1e999', 'Infinity', 'NaN', '.', 'e5', '1e']) {
      expect(decimalNumber(text), text).to.equal(undefined);
    }
  });
});
