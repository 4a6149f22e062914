import { expect } from 'chai';
import { type Measure, type Tolerance, whatMoved } from '../../src/check/measure.js';

describe('differences from a baseline', () => {
  const of = (value: number | string, tolerance: Tolerance = 0.5): Measure[] => [
    { item: 'gate 1', quantity: 'objective', value, tolerance },
  ];

  it('are those above the tolerance of the baseline', () => {
    expect(whatMoved(of(1), of(1.5))).to.deep.equal([]);
    expect(whatMoved(of(1), of(1.6, 10))).to.have.length(1);
    expect(whatMoved(of('abc', 0), of('abc', 0))).to.deep.equal([]);
  });

  it('include NaN, on either side or on both', () => {
    for (const [from, to] of [
      [1, Number.NaN],
      [Number.NaN, 1],
      [Number.NaN, Number.NaN],
      ['NaN', Number.NaN],
    ] as const) {
      expect(whatMoved(of(from), of(to)), `${from} ${to}`).to.have.length(1);
    }
    expect(whatMoved(of(1, Number.NaN), of(1))).to.have.length(1);
  });
});
