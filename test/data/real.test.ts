import { expect } from 'chai';
import { classCounts, holdOut, type PublishedSplit, stratifiedFolds } from '../../src/data/dataset.js';

import { datasetNamed } from '../../src/data/registry.js';
import { real } from '../cli/cli.js';

/** CIFAR-10 itself, where the cache holds it (`dgate data fetch cifar10`). */
describe('the real CIFAR-10', () => {
  const root = real.data;
  const cifar10 = datasetNamed('cifar10');

  before(function () {
    if (!real.hasData) this.skip();
  });

  it('is whole and unchanged', async () => {
    const report = await cifar10.verify(root);
    expect(report.imagesPerClass).to.deep.equal({ train: Array(10).fill(5000), test: Array(10).fill(1000) });
  });

  it('comes in the official order', async () => {
    const first = async (split: PublishedSplit) => [...(await cifar10.load(root, split)).labels.subarray(0, 10)];
    expect(await first('train')).to.deep.equal([6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
    expect(await first('test')).to.deep.equal([3, 8, 8, 0, 6, 6, 1, 6, 3, 1]);
  });

  it('has the mean and the standard deviation that its networks normalise with', async () => {
    const train = await cifar10.load(root, 'train');
    const pixels = await train.batch(Int32Array.from({ length: train.count }, (_, i) => i));
    for (let channel = 0; channel < 3; channel++) {
      const counts = new Float64Array(256);
      for (let image = 0; image < train.count; image++) {
        const start = (image * 3 + channel) * 1024;
        for (let i = start; i < start + 1024; i++) counts[pixels[i]!]!++;
      }
      const moment = (f: (x: number) => number) =>
        counts.reduce((sum, count, byte) => sum + count * f(byte / 255), 0) / (train.count * 1024);
      const mean = moment((x) => x);
      expect(mean).to.be.closeTo(cifar10.preprocessing.mean[channel]!, 5e-5);
      expect(Math.sqrt(moment((x) => (x - mean) ** 2))).to.be.closeTo(cifar10.preprocessing.std[channel]!, 6e-5);
    }
  });

  it('divides evenly', async () => {
    const { labels } = await cifar10.load(root, 'train');
    const { held } = holdOut(labels, 10, 5000, 0);
    expect(
      classCounts(
        held.map((index) => labels[index]!),
        10,
      ),
    ).to.deep.equal(Array(10).fill(500));
    const test = await cifar10.load(root, 'test');
    expect(stratifiedFolds(test.labels, 10, 2, 0).map((fold) => fold.length)).to.deep.equal([5000, 5000]);
  });
});
