import { expect } from 'chai';
import { pairedInterval, welchInterval } from '../../src/statistics/student.js';

describe('intervals of differences', () => {
  const rounded = ({ low, high }: ReturnType<typeof pairedInterval>) => [low, high].map((end) => +end.toFixed(4));

  it('are those of the mean difference, paired or independent', () => {
    expect(rounded(pairedInterval([1, 2, 3]))).to.deep.equal([-0.4841, 4.4841]); // 2 +- 4.3027 / sqrt(3)
    expect(rounded(welchInterval([1, 2, 3], [2, 3, 4]))).to.deep.equal([-1.267, 3.267]); // 1 +- 2.7764 sqrt(2/3)
  });

  it('have width 0 where nothing varies', () => {
    expect(welchInterval([1, 1], [3, 3])).to.deep.equal({ low: 2, high: 2 });
    expect(pairedInterval([2, 2])).to.deep.equal({ low: 2, high: 2 });
  });

  it('are NaN, not narrow, where a value is NaN or a sample has no variance to estimate', () => {
    const unknown = { low: Number.NaN, high: Number.NaN };
    expect(pairedInterval([1, Number.NaN, 3])).to.deep.equal(unknown);
    expect(welchInterval([1, Number.NaN], [3, 4])).to.deep.equal(unknown);
    expect(welchInterval([1], [3, 4])).to.deep.equal(unknown);
    expect(pairedInterval([1])).to.deep.equal(unknown);
  });
});
