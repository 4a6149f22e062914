import { expect } from 'chai';
import { checkPreprocessing, normalise } from '../../src/data/preprocess.js';
import { InputError } from '../../src/errors.js';
import { Random } from '../../src/random.js';
import { sha256 } from '../../src/store/files.js';

const preprocessing = { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.201] };

describe('normalise', () => {
  it('is (byte / 255 - mean) / std of the channel', () => {
    const random = new Random(1);
    const images = new Uint8Array(4 * 3 * 256).map(() => random.below(256));
    const out = normalise(images, preprocessing, 256);
    for (let i = 0; i < images.length; i++) {
      const channel = Math.floor(i / 256) % 3;
      const direct = (images[i]! / 255 - preprocessing.mean[channel]!) / preprocessing.std[channel]!;
      expect(out[i], `value ${i}`).to.be.closeTo(direct, 4e-7);
    }
  });

  it('is bit for bit what PyTorch computes', () => {
    // sha256 of the three channels' bytes, one channel after the other (torch 2.15.0):
    //   torch.arange(256).to(torch.uint8).to(torch.float32).div(255).sub(torch.tensor(mean)).div(torch.tensor(std))
    const everyByte = Uint8Array.from({ length: 3 * 256 }, (_, i) => i % 256);
    expect(sha256(new Uint8Array(normalise(everyByte, preprocessing, 256).buffer))).to.equal(
      '7724f199fd719d61fc4ae466ffd420763f4b07274df1f5a8e5643bbfb7188043',
    );
  });

  it('fills what it is given, which may be longer', () => {
    const out = new Float32Array(8).fill(-99);
    expect(normalise(Uint8Array.of(0, 255, 0, 255), { mean: [0, 0.5], std: [1, 0.5] }, 2, out)).to.equal(out);
    expect([...out]).to.deep.equal([0, 1, -1, 1, -99, -99, -99, -99]);
  });

  it('refuses sizes that do not fit', () => {
    expect(() => normalise(new Uint8Array(5), preprocessing, 1)).to.throw(RangeError, 'no images of 3 x 1');
    expect(() => normalise(new Uint8Array(6), preprocessing, 2, new Float32Array(5))).to.throw(
      RangeError,
      'room for 5',
    );
  });

  it('refuses preprocessing that makes no sense, all problems at once', () => {
    expect(() => checkPreprocessing({ mean: [0], std: [1, 1] })).to.throw(
      InputError,
      '1 means and 2 standard deviations',
    );
    expect(() => checkPreprocessing({ mean: [], std: [] })).to.throw(InputError);
    expect(() => normalise(new Uint8Array(1), { mean: [Number.NaN], std: [0] }, 1)).to.throw(
      InputError,
      /mean NaN; valid: finite numbers\n.*std 0; valid: numbers above 0/,
    );
  });
});
