import { expect } from 'chai';
import { byImage } from '../../src/paper/policies.js';

describe('policies over several seeds', () => {
  it('take the mean of the same image, in whichever fold each seed reports it', () => {
    const part = (images: number[], saved: number[]) =>
      new Map([
        [
          0.01,
          { images: Int32Array.from(images), choosing: 0, saved: Float64Array.from(saved), lost: new Float64Array(2) },
        ],
      ]);
    // Image 3 saves half of the FLOPs with every seed, the others nothing.
    const chosen = [
      [part([0, 3], [0, 0.5]), part([1, 2], [0, 0])],
      [part([1, 2], [0, 0]), part([0, 3], [0, 0.5])],
    ];
    expect(byImage({ chosen }, 0.01, 'saved')).to.deep.equal([0, 0, 0, 0.5]);
    expect(byImage({ chosen }, 0.01, 'lost')).to.deep.equal([0, 0, 0, 0]);
  });
});
