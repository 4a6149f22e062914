import { expect } from 'chai';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import type { LinearGradientResult, LinearProblem } from '../../src/gates/contracts.js';
import { type Loss, lossNames } from '../../src/gates/loss.js';
import { Random } from '../../src/random.js';
import { directEngine, identity, lossOf, multiplyBlocks, scale, unscaled } from '../gates/linear.js';

const FEATURES = 5;
const CLASSES = 3;

interface Inputs {
  readonly x: Float32Array;
  readonly labels: Int32Array;
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

const floats = (random: Random, length: number, from: number, to: number): Float32Array =>
  Float32Array.from({ length }, () => from + (to - from) * random.uniform());

function randomInputs(random: Random, count: number, features = FEATURES, classes = CLASSES): Inputs {
  return {
    x: floats(random, count * features, -3, 3),
    labels: Int32Array.from({ length: count }, () => random.below(classes)),
    weights: floats(random, features * classes, -1.5, 1.5),
    bias: floats(random, classes, -1.5, 1.5),
  };
}

/** A problem with shifted and stretched features; the last one does not vary. */
function problemOf(random: Random, loss: Loss, features: number, classes: number, blocks: number[]): LinearProblem {
  const scaling = { mean: floats(random, features, -1, 1), inverse: floats(random, features, 0.5, 2) };
  scaling.inverse[features - 1] = 0;
  const preconditioner = blocks.map((size) => {
    const block = floats(random, size * size, -1, 1);
    return block.map((value, i) => (value + block[(i % size) * size + Math.floor(i / size)]!) / 2);
  });
  return { features, classes, loss, scaling, preconditioner };
}

/** Slope of the loss along each number of `weights` or `bias`, by central differences in double precision. */
function numericalGradient(inputs: Inputs, which: 'weights' | 'bias', { loss, scaling }: LinearProblem): number[] {
  const step = 1e-5;
  const x = scale(inputs.x, scaling);
  const lossAt = (index: number, shift: number): number => {
    const moved = Float64Array.from(inputs[which]);
    moved[index]! += shift;
    return lossOf({ ...inputs, x, [which]: moved, features: FEATURES, classes: CLASSES }, loss);
  };
  return Array.from(inputs[which], (_, i) => (lossAt(i, step) - lossAt(i, -step)) / (2 * step));
}

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  expect(found.length, what).to.equal(expected.length);
  const allowed = 1e-5 * Math.max(1, ...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) expect(found[i], `${what} ${i}`).to.be.closeTo(expected[i]!, allowed);
}

describe('linear graphs in ONNX Runtime', () => {
  let engine: OnnxRuntimeCpu;
  before(async () => {
    engine = await OnnxRuntimeCpu.create(1);
  });

  async function run(problem: LinearProblem, inputs: Inputs, ridge = 0): Promise<LinearGradientResult> {
    const gradient = await engine.loadLinearGradient(problem);
    const result = await gradient.run(inputs.x, inputs.labels, inputs.weights, inputs.bias, ridge);
    await gradient.close();
    return result;
  }

  for (const loss of lossNames) {
    it(`${loss}: loss and gradient summed over a batch, as numerical differentiation has them`, async () => {
      for (const [seed, count] of [
        [1, 1],
        [2, 7],
        [3, 64],
      ] as const) {
        const random = new Random(seed, loss);
        const problem = problemOf(random, loss, FEATURES, CLASSES, [FEATURES]);
        const inputs = randomInputs(random, count);
        const result = await run(problem, inputs);
        const scaled = { ...inputs, x: scale(inputs.x, problem.scaling), features: FEATURES, classes: CLASSES };
        expectClose([result.loss], [lossOf(scaled, loss)], 'loss');
        const slopes = numericalGradient(inputs, 'weights', problem);
        expectClose(result.weights, multiplyBlocks(problem.preconditioner, slopes, CLASSES), 'P dLoss/dV');
        expectClose(result.bias, numericalGradient(inputs, 'bias', problem), 'dLoss/da');
      }
    });

    it(`${loss}: the ridge and a preconditioner of several blocks`, async () => {
      const random = new Random(4, loss);
      const problem = problemOf(random, loss, FEATURES, CLASSES, [2, 1, 2]);
      const inputs = randomInputs(random, 9);
      const result = await run(problem, inputs, 2.5);
      const slopes = numericalGradient(inputs, 'weights', problem).map((slope, i) => slope + 2.5 * inputs.weights[i]!);
      expectClose(result.weights, multiplyBlocks(problem.preconditioner, slopes, CLASSES), 'P (dLoss/dV + ridge V)');
      expectClose(result.bias, numericalGradient(inputs, 'bias', problem), 'dLoss/da');
    });

    it(`${loss}: the formula on many classes and features`, async () => {
      const random = new Random(5, loss);
      const problem = problemOf(random, loss, 40, 10, [16, 16, 8]);
      const inputs = randomInputs(random, 50, 40, 10);
      const found = await run(problem, inputs, 0.7);
      const direct = await directEngine().loadLinearGradient(problem);
      const expected = await direct.run(inputs.x, inputs.labels, inputs.weights, inputs.bias, 0.7);
      expectClose(found.weights, expected.weights, 'P (dLoss/dV + ridge V)');
      expectClose(found.bias, expected.bias, 'dLoss/da');
      expectClose([found.loss], [expected.loss], 'loss');
    });
  }

  it('cross-entropy: probabilities count as images of each class, in these shares', async () => {
    const random = new Random(6, 'shares');
    const problem = problemOf(random, 'cross-entropy', FEATURES, CLASSES, [FEATURES]);
    const inputs = randomInputs(random, 8);
    const shares = Float32Array.from({ length: CLASSES }, (_, c) => (2 * (c + 1)) / (CLASSES * (CLASSES + 1)));
    const gradient = await engine.loadLinearGradient(problem);
    const rows = Float32Array.from({ length: 8 * CLASSES }, (_, i) => shares[i % CLASSES]!);
    const found = await gradient.run(inputs.x, rows, inputs.weights, inputs.bias, 0);
    const parts: LinearGradientResult[] = [];
    for (let c = 0; c < CLASSES; c++) {
      parts.push(await gradient.run(inputs.x, new Int32Array(8).fill(c), inputs.weights, inputs.bias, 0));
    }
    await gradient.close();
    const sum = (of: (part: LinearGradientResult) => ArrayLike<number>): number[] =>
      Array.from(of(parts[0]!), (_, i) => parts.reduce((total, part, c) => total + shares[c]! * of(part)[i]!, 0));
    expectClose(
      [found.loss],
      sum(({ loss }) => [loss]),
      'loss',
    );
    expectClose(
      found.weights,
      sum(({ weights }) => weights),
      'P dLoss/dV',
    );
    expectClose(
      found.bias,
      sum(({ bias }) => bias),
      'dLoss/da',
    );
  });

  /** One feature of 1 and no bias: the distances are the weights. */
  const single = (label: number, weights: readonly number[]): Inputs => ({
    x: Float32Array.of(1),
    labels: Int32Array.of(label),
    weights: Float32Array.from(weights),
    bias: new Float32Array(weights.length),
  });
  const plain = (loss: Loss, classes: number): LinearProblem => ({
    features: 1,
    classes,
    loss,
    scaling: unscaled(1),
    preconditioner: [identity(1)],
  });

  it('hinge: an image exactly at its margin costs nothing and pulls nothing', async () => {
    // Class 0 is the image's, at 1; class 1 at -1; class 2, at 0.5, is 1.5 from where it should be.
    const result = await run(plain('hinge', 3), single(0, [1, -1, 0.5]));
    expect(result.loss).to.equal(1.5);
    expectClose(result.weights, [0, 0, 1], 'dLoss/dV');
    expectClose(result.bias, [0, 0, -1], 'dLoss/da');
  });

  it('cross-entropy: stays finite for distances whose exponentials are not', async () => {
    const wrong = await run(plain('cross-entropy', 2), single(1, [2000, -2000]));
    expect(wrong.loss).to.equal(4000);
    expectClose(wrong.weights, [1, -1], 'dLoss/dV');
    expectClose(wrong.bias, [-1, 1], 'dLoss/da');
    expect((await run(plain('cross-entropy', 2), single(0, [2000, -2000]))).loss).to.equal(0);
  });

  it('covariance: products of scaled features, summed over a batch, in each block', async () => {
    const random = new Random(6);
    const { scaling } = problemOf(random, 'hinge', FEATURES, CLASSES, []);
    const x = floats(random, 11 * FEATURES, -3, 3);
    const covariance = await engine.loadCovariance(scaling, [2, 3]);
    const found = await covariance.run(x);
    await covariance.close();
    const expected = await (await directEngine().loadCovariance(scaling, [2, 3])).run(x);
    expect(found).to.have.length(2);
    found.forEach((block, i) => {
      expectClose(block, expected[i]!, `block ${i}`);
    });
    // The feature that does not vary has no part in it.
    expect([...found[1]!].slice(6).map(Math.abs)).to.deep.equal([0, 0, 0]);
  });

  it('products: a b and a^T b, of any number of rows, one included', async () => {
    const random = new Random(7);
    const [product, direct] = [await engine.loadProduct(), await directEngine().loadProduct()];
    for (const [rows, columns, others] of [
      [7, 5, 3],
      [1, 5, 3],
      [4, 1, 1],
    ] as const) {
      const [a, b] = [floats(random, rows * columns, -1, 1), floats(random, columns * others, -1, 1)];
      const plain = [a, [rows, columns], b, [columns, others]] as const;
      expectClose(await product.run(...plain), await direct.run(...plain), `${rows} rows`);
      const turned = [
        a,
        [rows, columns],
        floats(random, rows * others, -1, 1),
        [rows, others],
        'first transposed',
      ] as const;
      expectClose(await product.run(...turned), await direct.run(...turned), `${rows} rows, transposed`);
    }
    await product.close();
  });
});
