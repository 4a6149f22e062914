import { expect } from 'chai';
import { batchesOf, type ImageSet, imageSet, selectImages } from '../../src/data/dataset.js';

import { datasetNamed, datasets } from '../../src/data/registry.js';
import { InputError } from '../../src/errors.js';
import { rejection } from './smallCifar10.js';

/** Five images of 2 x 1 x 2 bytes: image i holds 10i to 10i + 3. */
function five(): ImageSet {
  return imageSet({
    channels: 2,
    height: 1,
    width: 2,
    classes: ['a', 'b', 'c'],
    sha256: 'five',
    images: Uint8Array.from({ length: 20 }, (_, at) => 10 * Math.floor(at / 4) + (at % 4)),
    labels: Int32Array.of(0, 1, 2, 1, 0),
  });
}

describe('image sources', () => {
  it('give batches in the order asked for, as copies', async () => {
    const source = five();
    const batch = await source.batch([3, 0]);
    expect([...batch]).to.deep.equal([30, 31, 32, 33, 0, 1, 2, 3]);
    batch.fill(99);
    expect(source.images[0]).to.equal(0);
    expect((await source.batch([])).length).to.equal(0);
  });

  it('refuse positions that are not there', async () => {
    for (const index of [-1, 5, 0.5]) expect(await rejection(five().batch([index]))).to.be.instanceOf(RangeError);
  });

  it('refuse pixels and labels that do not fit', () => {
    const source = five();
    expect(() => imageSet({ ...source, images: source.images.subarray(1) })).to.throw(
      RangeError,
      '19 bytes for 5 images',
    );
    expect(() => imageSet({ ...source, classes: ['a', 'b'] })).to.throw(RangeError, 'image 2: label 2 of 2');
  });

  it('can be narrowed to some images, and again', async () => {
    const some = selectImages(five(), Int32Array.of(4, 2, 1));
    expect(some).to.include({ count: 3, channels: 2 });
    expect([...some.labels]).to.deep.equal([0, 2, 1]);
    expect([...(await some.batch([1]))]).to.deep.equal([20, 21, 22, 23]);
    const fewer = selectImages(some, Int32Array.of(2));
    expect([...(await fewer.batch([0]))]).to.deep.equal([10, 11, 12, 13]);
    expect(await rejection(some.batch([3]))).to.be.instanceOf(RangeError);
    expect(() => selectImages(some, Int32Array.of(3))).to.throw(RangeError);
  });

  it('have a content id that depends on the choice', () => {
    const ids = [[0, 1], [1, 0], [0]].map((chosen) => selectImages(five(), Int32Array.from(chosen)).sha256);
    expect(new Set(ids).size).to.equal(3);
    expect(selectImages(five(), Int32Array.of(0, 1)).sha256).to.equal(ids[0]);
  });

  it('come in batches, from the beginning or from where one stopped', async () => {
    const seen: [number, number, number, number[]][] = [];
    for await (const { start, count, images, labels } of batchesOf(five(), 2, 1)) {
      seen.push([start, count, images[0]!, [...labels]]);
    }
    expect(seen).to.deep.equal([
      [1, 2, 10, [1, 2]],
      [3, 2, 30, [1, 0]],
    ]);
    const counts: number[] = [];
    for await (const { count } of batchesOf(five(), 2)) counts.push(count);
    expect(counts).to.deep.equal([2, 2, 1]);
  });
});

describe('the registry', () => {
  it('knows CIFAR-10', () => {
    const cifar10 = datasetNamed('cifar10');
    expect(cifar10.splits).to.deep.equal({ train: 50_000, test: 10_000 });
    expect(cifar10.classes).to.have.length(10);
    expect(datasets.every((dataset) => dataset.preprocessing.mean.length === dataset.input.channels)).to.equal(true);
  });

  it('names the datasets there are', () => {
    expect(() => datasetNamed('cifar')).to.throw(InputError, 'cifar: no such dataset; valid: cifar10');
  });
});
