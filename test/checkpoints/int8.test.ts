import { expect } from 'chai';
import { asInt8, toFloat16Bits } from '../../src/checkpoints/dtypes.js';
import { encodeSafetensors, matchTensors, readSafetensors, type Storable } from '../../src/checkpoints/load.js';

import { InputError } from '../../src/errors.js';
import { Random } from '../../src/random.js';
import type { Tensor } from '../../src/tensor.js';

const tensor = (shape: number[], values: number[]): Tensor => ({ shape, data: Float32Array.from(values) });

/** What is read of these arrays once they are a file. */
async function read(arrays: Iterable<[string, Storable]>): Promise<ReadonlyMap<string, Tensor>> {
  const bytes = Buffer.concat([...encodeSafetensors(new Map(arrays))]);
  return (await readSafetensors(bytes, 'file')).tensors;
}

describe('weights as 8-bit integers', () => {
  const random = new Random(3);
  const filters = (rows: number, size: number): Tensor => ({
    shape: [rows, size, 1, 1],
    // Every row on another scale, as networks with folded batch norms have them.
    data: Float32Array.from({ length: rows * size }, (_, i) => (random.uniform() - 0.5) * 10 ** -Math.floor(i / size)),
  });

  it('are within half a step of the weight, the step a 127th of the largest in its row', async () => {
    const weights = filters(6, 50);
    const found = await read(asInt8('conv.weight', weights));
    expect([...found.keys()]).to.deep.equal(['conv.weight']);
    const { shape, data } = found.get('conv.weight')!;
    expect(shape).to.deep.equal(weights.shape);
    for (let row = 0; row < 6; row++) {
      const own = weights.data.subarray(row * 50, row * 50 + 50);
      const step = Math.max(...own.map(Math.abs)) / 127;
      own.forEach((value, i) => {
        expect(Math.abs(data[row * 50 + i]! - value)).to.be.at.most(0.5 * step * (1 + 1e-5));
      });
      expect(new Set(data.subarray(row * 50, row * 50 + 50)).size).to.be.above(20);
    }
  });

  it('stand with their scales under the names of compressed-tensors; the largest of a row is 127 or -127', () => {
    const stored = new Map(asInt8('fc.weight', tensor([2, 3], [0.5, -1, 0.25, 2, 0, 1])));
    expect([...stored.keys()]).to.deep.equal(['fc.weight', 'fc.weight_scale']);
    const [weight, scale] = [stored.get('fc.weight')!, stored.get('fc.weight_scale')!];
    expect(weight.dtype).to.equal('I8');
    expect([...(weight.data as Int8Array)]).to.deep.equal([64, -127, 32, 127, 0, 64]);
    expect(scale).to.include({ dtype: 'F32' });
    expect(scale.shape).to.deep.equal([2, 1]);
    expect([...(scale.data as Float32Array)]).to.deep.equal([Math.fround(1 / 127), Math.fround(2 / 127)]);
  });

  it('keep rows of zeros and the smallest numbers finite, and vectors in half precision', async () => {
    const tiny = 2 ** -149;
    const found = await read([
      ...asInt8('w', tensor([3, 2], [0, 0, tiny, -tiny, 1e30, -3e38])),
      ...asInt8('b', tensor([2], [0.1, 70])),
    ]);
    const { data } = found.get('w')!;
    expect([...data.subarray(0, 2)]).to.deep.equal([0, 0]);
    expect(data.every(Number.isFinite)).to.equal(true);
    expect(data[5]).to.be.closeTo(-3e38, 1e32);
    expect(found.get('b')!.data).to.deep.equal(Float32Array.of(Math.fround(0.0999755859375), 70));
  });

  it('of values that are not finite are refused', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => asInt8('w', tensor([1, 2], [1, value]))).to.throw(
        InputError,
        'w: holds values that are not finite; valid for --int8: finite ones',
      );
    }
  });

  it('without scales are whole numbers, and scales of anything else are tensors of their own', async () => {
    const [data, one] = [Int8Array.of(-128, 5), Float32Array.of(2)];
    const found = await read([
      ['count', { dtype: 'I8', shape: [2], data }],
      ['x', { shape: [1], data: one }],
      ['x_scale', { shape: [1], data: one }],
    ]);
    expect([...found.get('count')!.data]).to.deep.equal([-128, 5]);
    expect([...found.keys()]).to.have.members(['count', 'x', 'x_scale']);
  });

  it('with a scale that is not finite make no network', async () => {
    const file = await read([
      ['w', { dtype: 'I8', shape: [1, 2], data: Int8Array.of(1, 2) }],
      ['w_scale', { shape: [1, 1], data: Float32Array.of(Number.NaN) }],
    ]);
    const expected = [{ name: 'w', shape: [1, 2] }];
    expect(() => matchTensors(expected, file, 'file')).to.throw(InputError, 'w holds values that are not finite');
  });

  it('take scales of half precision, and refuse those that do not fit', async () => {
    const weight: [string, Storable] = ['w', { dtype: 'I8', shape: [2, 2], data: Int8Array.of(1, 2, 3, 4) }];
    const halves = toFloat16Bits(Float32Array.of(2, 10));
    const found = await read([weight, ['w_scale', { dtype: 'F16', shape: [2], data: halves }]]);
    expect([...found.get('w')!.data]).to.deep.equal([2, 4, 30, 40]);
    const wrong: [Storable, string][] = [
      [{ shape: [3, 1], data: new Float32Array(3) }, 'F32 [3, 1]'],
      [{ shape: [1, 2], data: new Float32Array(2) }, 'F32 [1, 2]'],
      [{ shape: [], data: new Float32Array(1) }, 'F32 []'],
      [{ dtype: 'I32', shape: [2, 1], data: new Int32Array(2) }, 'I32 [2, 1]'],
    ];
    for (const [scale, what] of wrong) {
      const error = await read([weight, ['w_scale', scale]]).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(InputError);
      expect((error as Error).message).to.equal(`file: w: scales ${what}; valid: a float type, [2, 1]`);
    }
  });
});
