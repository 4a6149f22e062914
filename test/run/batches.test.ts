import { expect } from 'chai';
import type { ImageSource } from '../../src/data/dataset.js';
import type { FeatureNetwork } from '../../src/engines/engine.js';
import { batchImages, runBatches } from '../../src/run/batches.js';

describe('batches', () => {
  it('hold at most 64 images, fewer where they are large', () => {
    const sides = [32, 64, 224, 299, 384, 4096];
    const images = (device: 'cpu' | 'gpu') =>
      sides.map((side) => batchImages({ channels: 3, height: side, width: side }, device));
    expect(images('cpu')).to.deep.equal([64, 64, 8, 4, 2, 1]);
    expect(images('gpu')).to.deep.equal([64, 64, 64, 32, 16, 1]);
  });

  /** Images of 2 x 2 pixels whose first byte is their position; those in `broken` cannot be decoded. */
  function source(
    count: number,
    broken: readonly number[] = [],
  ): ImageSource & { readonly arrays: Set<ArrayBufferLike> } {
    const arrays = new Set<ArrayBufferLike>();
    const unreadable = new Map<number, string>();
    return {
      arrays,
      channels: 3,
      height: 2,
      width: 2,
      count,
      classes: ['a'],
      labels: new Int32Array(count),
      sha256: 'none',
      unreadable,
      async batch(indices, into) {
        const size = 12 * indices.length;
        const pixels = into !== undefined && into.length >= size ? into.subarray(0, size) : new Uint8Array(size);
        for (let i = 0; i < indices.length; i++) {
          pixels.fill(indices[i]!, 12 * i, 12 * (i + 1));
          if (broken.includes(indices[i]!)) unreadable.set(indices[i]!, 'broken');
        }
        arrays.add(pixels.buffer);
        return pixels;
      },
    };
  }

  /** Its only feature, and its only logit, is the first value of an image, in 255ths. */
  const network: FeatureNetwork = {
    async run(images, count) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const first = Float32Array.from({ length: count }, (_, i) => Math.round(255 * images[12 * i]!));
      return { features: [first], logits: first };
    },
    close: async () => {},
  };

  async function positions(images: ImageSource): Promise<{ rows: number[]; values: number[]; leftOut: number[] }> {
    const found = { rows: [] as number[], values: [] as number[], leftOut: [] as number[] };
    for await (const batch of runBatches(network, images, { mean: [0, 0, 0], std: [1, 1, 1] }, 'cpu')) {
      found.rows.push(...batch.positions);
      found.values.push(...batch.result.logits);
      found.leftOut.push(...batch.leftOut);
    }
    return found;
  }

  const all = Array.from({ length: 250 }, (_, i) => i);

  it('give every image once, in order, its own result', async () => {
    const { rows, values, leftOut } = await positions(source(250));
    expect([rows, values, leftOut]).to.deep.equal([all, all, []]);
  });

  it('leave out what cannot be decoded, with its row', async () => {
    const { rows, values, leftOut } = await positions(source(250, [0, 100, 101, 249]));
    const others = all.filter((image) => ![0, 100, 101, 249].includes(image));
    expect([rows, values, leftOut]).to.deep.equal([others, others, [0, 100, 101, 249]]);
  });

  it('use the same few arrays again and again', async () => {
    const images = source(250 * 8);
    // Positions beyond 255 repeat as bytes; only the arrays count here.
    await positions(images);
    expect(images.arrays.size).to.be.at.most(6);
  });
});
