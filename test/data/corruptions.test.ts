import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { type CorruptionName, corrupted, corruptionNames, severities } from '../../src/data/corruptions.js';
import { type ImageSet, imageSet } from '../../src/data/dataset.js';

import { cifar10 } from '../../src/data/registry.js';

const SIZE = 3 * 32 * 32;
/** Pixels of an image that the reference keeps: one in so many. */
const STRIDE = 307;

/** The 25 images of `recipe.py generated`. */
function generated(): Uint8Array {
  const images = new Uint8Array(25 * SIZE);
  images.forEach((_, at) => {
    const [i, c, y, x] = [Math.floor(at / SIZE), Math.floor(at / 1024) % 3, Math.floor(at / 32) % 32, at % 32];
    const waves = ((x * (1 + (i % 7)) + y * (2 + (i % 5)) * (1 + c)) * 8) % 256;
    const mixed = BigInt(i * 7919 + c * 104729 + y * 1299709 + x * 15485863) * 2654435761n;
    const noise = Number((mixed % 2n ** 32n) >> 28n);
    images[at] = Math.max(0, Math.min(255, waves - 20 + noise * (i % 4)));
  });
  return images;
}

const setOf = (images: Uint8Array, side = 32): ImageSet => {
  const count = images.length / (3 * side * side);
  const shape = { channels: 3, height: side, width: side };
  return imageSet({ ...shape, images, labels: new Int32Array(count), classes: ['one'], sha256: 'some' });
};
const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

interface Reference extends Readonly<Record<CorruptionName, readonly unknown[]>> {
  readonly first: readonly (readonly number[][])[];
}
interface Noise {
  readonly mean: number;
  readonly deviation: number;
  readonly quantiles: readonly number[];
}
const isNoise = (name: CorruptionName): boolean => name.endsWith('noise');

async function compare(images: Uint8Array, file: string): Promise<void> {
  const url = new URL(`../fixtures/corruptions/${file}`, import.meta.url);
  const reference: Reference = JSON.parse(readFileSync(url, 'utf8'));
  const rows = [0, 1].map((i) => [0, 1, 2].map((c) => [...images.subarray(i * SIZE + c * 1024).subarray(0, 4)]));
  expect(rows).to.deep.equal(reference.first);
  for (const name of corruptionNames) {
    for (const severity of severities) {
      const found = await corrupted(setOf(images), name, severity, 0).batch(all(images.length / SIZE));
      const expected = reference[name][severity - 1];
      if (isNoise(name))
        sameNoise(
          Int16Array.from(found, (value, i) => value - images[i]!),
          expected as Noise,
        );
      else samePixels(found, Buffer.from(expected as string, 'base64'), `${name} ${severity}`);
    }
  }
}

/** Rounding down makes a difference of 1 of what differs by 1e-12. */
function samePixels(found: Uint8Array, expected: Uint8Array, what: string): void {
  const differences = [...expected].map((value, i) => Math.abs(value - found[i * STRIDE]!));
  if (process.env['SHOW'])
    console.log(
      what,
      Math.max(...differences),
      differences.filter((difference) => difference > 0).length / differences.length,
    );
  expect(Math.max(...differences), what).to.be.at.most(1);
  expect(differences.filter((difference) => difference > 0).length / differences.length, what).to.be.below(0.15);
}

function sameNoise(change: Int16Array, expected: Noise): void {
  const mean = change.reduce((sum, value) => sum + value, 0) / change.length;
  const deviation = Math.sqrt(change.reduce((sum, value) => sum + (value - mean) ** 2, 0) / change.length);
  expect(mean).to.be.closeTo(expected.mean, 0.25);
  expect(deviation).to.be.closeTo(expected.deviation, 0.25);
  const sorted = change.sort();
  [0.05, 0.25, 0.5, 0.75, 0.95].forEach((share, i) => {
    expect(sorted[Math.floor(share * change.length)]).to.be.closeTo(expected.quantiles[i]!, 1);
  });
}

describe('corruptions', () => {
  it('give what the recipe gives, on generated images', () => compare(generated(), 'generated.json'));

  it('give what the recipe gives, on the first 100 test images of CIFAR-10', async function () {
    const root = new URL('../../.cache/data', import.meta.url).pathname;
    if (!(await cifar10.isThere(root))) return this.skip();
    const test = await cifar10.load(root, 'test');
    await compare(await test.batch(all(100)), 'cifar10.json');
  });

  it('depend on the seed, the image and the severity, not on the batch', async () => {
    const source = setOf(generated().subarray(0, 3 * SIZE));
    for (const name of corruptionNames) {
      const whole = await corrupted(source, name, 2, 7).batch([0, 1, 2]);
      const again = await corrupted(source, name, 2, 7).batch([2, 0], new Uint8Array(5 * SIZE));
      expect(again.subarray(0, SIZE)).to.deep.equal(whole.subarray(2 * SIZE));
      expect(again.subarray(SIZE, 2 * SIZE)).to.deep.equal(whole.subarray(0, SIZE));
      expect(await corrupted(source, name, 3, 7).batch([0, 1, 2])).not.to.deep.equal(whole);
      const other = await corrupted(source, name, 2, 8).batch([0, 1, 2]);
      expect(other.some((value, i) => value !== whole[i])).to.equal(isNoise(name));
    }
    const ids = [1, 2].flatMap((seed) => corruptionNames.map((name) => corrupted(source, name, 1, seed).sha256));
    expect(new Set([...ids, source.sha256]).size).to.equal(2 * corruptionNames.length + 1);
  });

  it('take black, white and grey images of other sizes, and no large ones', async () => {
    const values = [0, 255, 100];
    const pixels = Uint8Array.from({ length: 3 * 28 * 28 }, (_, i) => values[Math.floor(i / 784)]!);
    const grey = imageSet({
      channels: 1,
      height: 28,
      width: 28,
      images: pixels,
      labels: new Int32Array(3),
      classes: ['one'],
      sha256: 'grey',
    });
    for (const name of corruptionNames) {
      const found = await corrupted(grey, name, 1, 0).batch([0, 1, 2]);
      const means = values.map(
        (_, i) => found.subarray(784 * i, 784 * (i + 1)).reduce((sum, value) => sum + value, 0) / 784,
      );
      const more = name === 'brightness' ? 0.05 * 255 : 0;
      values.forEach((value, i) => {
        expect(means[i], `${name} of ${value}`).to.be.closeTo(Math.min(255, value + more), isNoise(name) ? 8 : 1.01);
      });
    }
    expect(() => corrupted(setOf(new Uint8Array(3 * 96 * 96), 96), 'jpeg', 1, 0)).to.throw(
      /^jpeg: images of 96 x 96; valid: at most 64 x 64/,
    );
  });
});
