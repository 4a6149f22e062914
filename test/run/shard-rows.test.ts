import { expect } from 'chai';
import type { NetworkBatch } from '../../src/run/batches.js';
import { ShardRows } from '../../src/run/batches.js';

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
