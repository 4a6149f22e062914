import { expect } from 'chai';
import type { Scaling } from '../../src/gates/contracts.js';
import { ScalingAccumulator } from '../../src/gates/precondition.js';
import { Random } from '../../src/random.js';

/** Half a unit in the last place, relative. */
const FLOAT32 = 2 ** -24;

/** Adds rows in batches of these sizes. */
function accumulate(x: Float32Array, features: number, sizes: readonly number[]): Scaling {
  const accumulator = new ScalingAccumulator(features);
  let start = 0;
  for (const size of sizes) {
    accumulator.add(x.subarray(start * features, (start + size) * features));
    start += size;
  }
  expect(start * features, 'all rows added').to.equal(x.length);
  return accumulator.result();
}

function expectTwoPass(scaling: Scaling, x: Float32Array, features: number): void {
  const count = x.length / features;
  for (let f = 0; f < features; f++) {
    const column = Array.from({ length: count }, (_, i) => x[i * features + f]!);
    const mean = column.reduce((sum, value) => sum + value, 0) / count;
    const variance = column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    expect(scaling.mean[f]! / mean, `mean of feature ${f}`).to.be.closeTo(1, FLOAT32);
    expect(scaling.inverse[f]! * Math.sqrt(variance), `deviation of feature ${f}`).to.be.closeTo(1, FLOAT32);
  }
}

describe('ScalingAccumulator', () => {
  const features = 4;
  const random = new Random(2);
  // Feature f around 10^f with deviation (f + 1) / 3.46, the last far from zero for its spread.
  const x = Float32Array.from({ length: 120 * features }, (_, i) => {
    const f = i % features;
    return 10 ** f + (f + 1) * random.uniform();
  });

  it('finds the mean and the inverse standard deviation (over n, not n - 1) of two passes over all', () => {
    expectTwoPass(accumulate(x, features, [120]), x, features);
  });

  it('does not depend on the batches', () => {
    for (const sizes of [[1, 1, 118], [60, 60], [7, 0, 50, 63], Array<number>(120).fill(1)]) {
      expectTwoPass(accumulate(x, features, sizes), x, features);
    }
  });

  it('keeps its precision where the mean is large and the spread small', () => {
    const far = Float32Array.from({ length: 1000 }, (_, i) => 4096 + (i % 2)); // 4096, 4097, ...: mean .5, deviation .5
    const { mean, inverse } = accumulate(far, 1, [300, 700]);
    expect(mean[0]).to.be.closeTo(4096.5, 1e-9);
    expect(inverse[0]).to.be.closeTo(2, 1e-9);
  });

  it('keeps its precision where the first image is as far from the others as one can be', () => {
    const far = Float32Array.from({ length: 5000 * features }, (_, i) => (i < features ? 1e6 : x[i % x.length]!));
    expectTwoPass(accumulate(far, features, [3, 4997]), far, features);
  });

  it('gives the inverse 0 to a feature that does not vary', () => {
    const constants = [0, 5, -0.1, 3e4];
    const rows = Float32Array.from({ length: 50 * 5 }, (_, i) => (i % 5 === 4 ? i : constants[i % 5]!));
    const { mean, inverse } = accumulate(rows, 5, [13, 37]);
    expect([...inverse.subarray(0, 4)]).to.deep.equal([0, 0, 0, 0]);
    expect(inverse[4]).to.be.above(0);
    constants.forEach((value, f) => {
      expect(mean[f]).to.be.closeTo(Math.fround(value), 1e-9);
    });
  });

  it('has no scaling for a single image or for none', () => {
    expect([...accumulate(Float32Array.of(3, 4), 2, [1]).inverse]).to.deep.equal([0, 0]);
    expect([...accumulate(new Float32Array(), 2, [0]).inverse]).to.deep.equal([0, 0]);
  });
});
