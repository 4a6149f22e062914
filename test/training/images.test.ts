import { expect } from 'chai';
import { Random } from '../../src/random.js';
import {
  augment,
  divideImages,
  epochBatches,
  epochOrder,
  recipes,
  stepRandom,
  stepsPerEpoch,
  type TrainingBatch,
} from '../../src/training/recipe.js';

import { generatedDataset } from '../run/generatedDataset.js';

const shape = { channels: 3, height: 6, width: 5 };
const SIZE = 6 * 5;

/** Each image's pixels all different and none black. */
const numbered = (images: number): Uint8Array => Uint8Array.from({ length: images * 3 * SIZE }, (_, i) => 1 + (i % 90));

/** Which crop an image is, or undefined: rows down, columns to the right, mirrored. */
function cropOf(before: Uint8Array, after: Uint8Array, padding: number): string | undefined {
  const pixel = (channel: number, y: number, x: number): number =>
    y < 0 || x < 0 || y >= 6 || x >= 5 ? 0 : before[channel * SIZE + y * 5 + x]!;
  for (let down = -padding; down <= padding; down++) {
    for (let right = -padding; right <= padding; right++) {
      for (const mirrored of [false, true]) {
        const fits = after.every((value, i) => {
          const [channel, y, x] = [Math.floor(i / SIZE), Math.floor((i % SIZE) / 5), i % 5];
          return value === pixel(channel, y + down, (mirrored ? 4 - x : x) + right);
        });
        if (fits) return `${down} ${right} ${mirrored}`;
      }
    }
  }
  return undefined;
}

describe('augmentation', () => {
  it('gives every crop of the padded image, and its mirror image, about equally often', () => {
    const images = 2000;
    const source = numbered(images);
    const out = augment(source, shape, { cropPadding: 1, flip: true }, new Random(1));
    const seen = new Map<string, number>();
    for (let image = 0; image < images; image++) {
      const part = (bytes: Uint8Array) => bytes.subarray(image * 3 * SIZE, (image + 1) * 3 * SIZE);
      const crop = cropOf(part(source), part(out), 1);
      expect(crop, `image ${image}`).to.be.a('string');
      seen.set(crop!, (seen.get(crop!) ?? 0) + 1);
    }
    expect(seen.size).to.equal(18); // 3 x 3 places, mirrored or not: 111 each expected
    for (const count of seen.values()) expect(count).to.be.within(70, 155);
  });

  it('leaves images as they are where it is told to, and never changes what it was given', () => {
    const source = numbered(4);
    expect(augment(source, shape, { cropPadding: 0, flip: false }, new Random(1))).to.deep.equal(source);
    augment(source, shape, { cropPadding: 3, flip: true }, new Random(1));
    expect(source).to.deep.equal(numbered(4));
  });

  it('depends on seed, epoch and step alone', () => {
    const make = (seed: number, epoch: number, step: number) =>
      augment(numbered(20), shape, { cropPadding: 4, flip: true }, stepRandom(seed, epoch, step));
    expect(make(1, 2, 3)).to.deep.equal(make(1, 2, 3));
    for (const other of [make(2, 2, 3), make(1, 1, 3), make(1, 2, 4)]) expect(other).not.to.deep.equal(make(1, 2, 3));
    expect(epochOrder(100, 1, 2))
      .to.deep.equal(epochOrder(100, 1, 2))
      .and.not.to.deep.equal(epochOrder(100, 1, 3));
    expect([...epochOrder(100, 1, 2)].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 100 }, (_, i) => i));
  });
});

describe('the images of a training', () => {
  const recipe = { ...recipes.laptop, batchSize: 16 };
  const open = async () => generatedDataset({ train: 200 }).load('', 'train');
  const preprocessing = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };

  async function batches(firstStep: number): Promise<TrainingBatch[]> {
    const images = divideImages(await open(), preprocessing, recipe, 3);
    const all: TrainingBatch[] = [];
    for await (const batch of epochBatches(images, recipe, 3, 5, firstStep)) all.push(batch);
    return all;
  }

  it('are not those held out, a tenth with the same share of each class', async () => {
    const images = divideImages(await open(), preprocessing, recipe, 3);
    expect([images.learn.count, images.validation.count, stepsPerEpoch(images, recipe)]).to.deep.equal([180, 20, 11]);
    const perClass = Array.from(
      { length: 10 },
      (_, label) => images.validation.labels.filter((l) => l === label).length,
    );
    expect(perClass).to.deep.equal(new Array(10).fill(2));
    const some = divideImages(await open(), preprocessing, { ...recipe, trainImages: 50 }, 3);
    expect(some.learn.count).to.equal(50);
    expect(some.heldOut).to.deep.equal(images.heldOut);
  });

  it('come in the same batches from any step on', async () => {
    const [whole, rest] = [await batches(0), await batches(7)];
    expect([whole.length, rest.length]).to.deep.equal([11, 4]);
    expect(rest).to.deep.equal(whole.slice(7));
    expect(whole[0]!.images.length).to.equal(16 * 3 * 32 * 32);
    expect(whole[0]!.labels).to.have.length(16);
  });
});
