import { expect } from 'chai';
import type { ImageSource } from '../../src/data/dataset.js';
import type { FeatureNetwork } from '../../src/engines/engine.js';
import { batchImages, type NetworkBatch, runBatches, ShardRows } from '../../src/run/batches.js';

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

/** A batch of images from `first` on, whose values name image and column; `leftOut` could not be decoded. */
function batch(first: number, count: number, leftOut: readonly number[] = []): NetworkBatch {
  const all = Array.from({ length: count }, (_, i) => first + i);
  const positions = Int32Array.from(all.filter((position) => !leftOut.includes(position)));
  const rows = (width: number) =>
    Float32Array.from([...positions].flatMap((position) => Array.from({ length: width }, (_, c) => position + c / 10)));
  return { count, positions, result: { features: [rows(3), rows(1)], logits: rows(2) }, leftOut };
}

function contentOf(shard: ShardRows): Record<string, { shape: readonly number[]; data: number[] }> {
  const labels = Int32Array.from({ length: 100 }, (_, i) => 1000 + i);
  return Object.fromEntries(
    [...shard.content(labels)].map(([name, { shape, data }]) => [name, { shape, data: Array.from(data, Number) }]),
  );
}

/** What one batch of all these images would give. */
const expected = (first: number, count: number, leftOut: readonly number[] = []) => {
  const { positions, result } = batch(first, count, leftOut);
  const rows = positions.length;
  return {
    gate1: { shape: [rows, 3], data: [...result.features[0]!] },
    gate2: { shape: [rows, 1], data: [...result.features[1]!] },
    logits: { shape: [rows, 2], data: [...result.logits] },
    labels: { shape: [rows], data: [...positions].map((position) => 1000 + position) },
    ...(leftOut.length > 0 && { left_out: { shape: [leftOut.length], data: [...leftOut] } }),
  };
};

describe('the rows of a shard', () => {
  it('are those of its batches, one after the other', () => {
    const shard = new ShardRows([3, 1], 2);
    shard.begin(7);
    for (const [first, count] of [
      [10, 4],
      [14, 2],
      [16, 1],
    ] as const) {
      shard.add(batch(first, count));
    }
    expect(shard.covered).to.equal(7);
    expect(contentOf(shard)).to.deep.equal(expected(10, 7));
  });

  it('leave out what could not be decoded, be it a whole batch', () => {
    const shard = new ShardRows([3, 1], 2);
    shard.begin(6);
    shard.add(batch(0, 2, [0, 1]));
    shard.add(batch(2, 4, [3]));
    expect(shard.covered).to.equal(6);
    expect(contentOf(shard)).to.deep.equal(expected(0, 6, [0, 1, 3]));
  });

  it('hold nothing of the shard before, be that larger or smaller', () => {
    const shard = new ShardRows([3, 1], 2);
    for (const [first, count, leftOut] of [
      [0, 5, [2]],
      [5, 3, []],
      [8, 9, []],
    ] as const) {
      shard.clear();
      expect(shard.covered).to.equal(0);
      shard.begin(count);
      shard.add(batch(first, count, leftOut));
      expect(contentOf(shard)).to.deep.equal(expected(first, count, leftOut));
    }
  });

  it('do not grow beyond what was said', () => {
    const shard = new ShardRows([3, 1], 2);
    shard.begin(2);
    expect(() => shard.add(batch(0, 3))).to.throw(RangeError);
  });

  it('keep nothing of the batches, whose memory is used again', () => {
    const shard = new ShardRows([3, 1], 2);
    shard.begin(2);
    const one = batch(0, 2);
    shard.add(one);
    for (const data of [...one.result.features, one.result.logits, one.positions]) data.fill(-1);
    expect(contentOf(shard)).to.deep.equal(expected(0, 2));
  });
});
