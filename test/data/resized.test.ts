import { expect } from 'chai';
import { imageSet } from '../../src/data/dataset.js';
import { resizedImages, sideWeights, WEIGHT_SUM } from '../../src/data/resample.js';
import { Random } from '../../src/random.js';

describe('images in another size', () => {
  it('have weights that add up, see what is asked of the side, and leave a side of the same length as it is', () => {
    for (const [from, to, field] of [
      [32, 16, 1],
      [32, 45, 1],
      [32, 5, 0.7],
      [7, 1, 0.3],
      [1, 4, 1],
      [28, 16, 0.914],
    ] as const) {
      const weights = sideWeights(from, to, field);
      for (let i = 0; i < to; i++) {
        const row = weights.subarray(i * from, (i + 1) * from);
        expect(row.every((weight) => weight >= 0 && Number.isInteger(weight))).to.equal(true);
        expect(row.reduce((sum, weight) => sum + weight, 0)).to.equal(WEIGHT_SUM);
      }
      // Row i is the row from the other end, turned round.
      const first = weights.subarray(0, from);
      const last = weights.subarray((to - 1) * from).toReversed();
      expect(Math.max(...first.map((weight, i) => Math.abs(weight - last[i]!)))).to.be.at.most(2);
    }
    expect([...sideWeights(3, 3, 1)]).to.deep.equal([1, 0, 0, 0, 1, 0, 0, 0, 1].map((one) => one * WEIGHT_SUM));
    expect([...sideWeights(4, 2, 0.5)]).to.deep.equal([0, 1, 0, 0, 0, 0, 1, 0].map((one) => one * WEIGHT_SUM));
  });

  it('are averages of the pixels that they cover, in the order of channels that is asked for', async () => {
    const random = new Random(1, 'pixels');
    const images = Uint8Array.from({ length: 2 * 3 * 4 * 6 }, () => random.below(256));
    const source = imageSet({
      images,
      labels: Int32Array.of(0, 1),
      classes: ['a', 'b'],
      sha256: 'x',
      channels: 3,
      height: 4,
      width: 6,
    });
    const same = { from: { height: 4, width: 6 }, to: { height: 4, width: 6 }, field: 1, isReversed: true };
    const plane = (image: number, channel: number) =>
      images.subarray((image * 3 + channel) * 24, (image * 3 + channel + 1) * 24);
    const turned = await resizedImages(source, same).batch([1]);
    expect([...turned]).to.deep.equal([2, 1, 0].flatMap((channel) => [...plane(1, channel)]));
    const shrunk = resizedImages(source, { ...same, to: { height: 1, width: 1 }, isReversed: false });
    expect([shrunk.height, shrunk.width, shrunk.sha256 === resizedImages(source, same).sha256]).to.deep.equal([
      1,
      1,
      false,
    ]);
    const flat = imageSet({ ...source, images: images.map(() => 77), labels: source.labels });
    for (const to of [
      { height: 9, width: 2 },
      { height: 2, width: 13 },
    ]) {
      const pixels = await resizedImages(flat, { ...same, to }).batch([0, 1]);
      expect(new Set(pixels)).to.deep.equal(new Set([77]));
      expect(pixels).to.have.length(2 * 3 * to.height * to.width);
    }
  });
});
