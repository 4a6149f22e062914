import type { LinearProblem, Scaling } from '../gates/contracts.js';
import { type LossAlgebra, lossNamed } from '../gates/loss.js';
import { GraphBuilder } from './builder.js';

export const linearGraphNames = {
  x: 'x',
  target: 'target',
  weights: 'weights',
  bias: 'bias',
  ridge: 'ridge',
  weightGradient: 'weight_gradient',
  biasGradient: 'bias_gradient',
  loss: 'loss',
} as const;

/**
 * Loss and (sub-)gradient of d = sV - a on scaled features s = (x - mean) * inverse, summed over a batch. Inputs: x float
 * [batch, features], target float [batch, classes], weights float [features, classes], bias float [classes], ridge float [].
 */
export function linearGradientGraph(problem: LinearProblem): Uint8Array {
  const { features, classes, loss, scaling, preconditioner } = problem;
  const names = linearGraphNames;
  const builder = new GraphBuilder(`${loss} gradient`);
  const x = builder.input(names.x, 'float', ['batch', features]);
  const target = builder.input(names.target, 'float', ['batch', classes]);
  const weights = builder.input(names.weights, 'float', [features, classes]);
  const bias = builder.input(names.bias, 'float', [classes]);
  const ridge = builder.input(names.ridge, 'float', []);
  const scaled = writeScaling(builder, x, scaling);
  const distances = builder.node('Sub', [builder.node('MatMul', [scaled, weights]), bias]); // [batch, classes]

  const found = lossNamed(loss).write(nodesOf(builder), distances, target);
  builder.node('Identity', [found.loss], {}, names.loss);
  const { gradient } = found; // dLoss/dd, [batch, classes]

  const transposed = builder.node('Transpose', [scaled], { perm: [1, 0] });
  // dLoss/dV + ridge V, [features, classes]
  const raw = builder.node('Add', [
    builder.node('MatMul', [transposed, gradient]),
    builder.node('Mul', [ridge, weights]),
  ]);
  const sizes = preconditioner.map((block) => Math.sqrt(block.length));
  const blocks = split(builder, raw, sizes, 0).map((rows, i) => {
    const matrix = builder.constant(`preconditioner${i}`, preconditioner[i]!, [sizes[i]!, sizes[i]!]);
    return builder.node('MatMul', [matrix, rows]);
  });
  if (blocks.length === 0) builder.node('Identity', [raw], {}, names.weightGradient);
  else builder.node('Concat', blocks, { axis: 0 }, names.weightGradient);
  const summed = builder.node('ReduceSum', [gradient, builder.ints('batch_axis', [0])], { keepdims: 0 });
  builder.node('Neg', [summed], {}, names.biasGradient); // dd/da = -1
  builder.output(names.weightGradient, 'float', [features, classes]);
  builder.output(names.biasGradient, 'float', [classes]);
  builder.output(names.loss, 'float', []);
  return builder.encode();
}

export const covarianceGraphNames = { x: 'x', block: (index: number): string => `block${index}` };

/** s^T s of each block of scaled features, summed over a batch. Input: x float [batch, features]. */
export function covarianceGraph(scaling: Scaling, sizes: readonly number[]): Uint8Array {
  const builder = new GraphBuilder('covariance');
  const x = builder.input(covarianceGraphNames.x, 'float', ['batch', scaling.mean.length]);
  const scaled = writeScaling(builder, x, scaling);
  for (const [index, columns] of split(builder, scaled, sizes, 1).entries()) {
    const name = covarianceGraphNames.block(index);
    builder.node('MatMul', [builder.node('Transpose', [columns], { perm: [1, 0] }), columns], {}, name);
    builder.output(name, 'float', [sizes[index]!, sizes[index]!]);
  }
  return builder.encode();
}

/** The product of matrices: a b, or a^T b. */
export function productGraph(transA: 0 | 1): Uint8Array {
  const builder = new GraphBuilder('product');
  const inputs = [builder.input('a', 'float', ['m', 'k']), builder.input('b', 'float', ['p', 'n'])];
  builder.node('Gemm', inputs, { transA }, 'product');
  builder.output('product', 'float', ['rows', 'columns']);
  return builder.encode();
}

function writeScaling(builder: GraphBuilder, x: string, { mean, inverse }: Scaling): string {
  const centred = builder.node('Sub', [x, builder.constant('mean', mean, [mean.length])]);
  return builder.node('Mul', [centred, builder.constant('inverse', inverse, [inverse.length])]);
}

function split(builder: GraphBuilder, value: string, sizes: readonly number[], axis: number): string[] {
  if (sizes.length === 1) return [value];
  let start = 0;
  return sizes.map((size, i) => {
    const range = [builder.ints(`start${i}`, [start]), builder.ints(`end${i}`, [start + size])];
    start += size;
    return builder.node('Slice', [value, ...range, builder.ints(`axis${i}`, [axis])]);
  });
}

/** The operations of losses, as nodes. */
function nodesOf(builder: GraphBuilder): LossAlgebra<string> {
  return {
    scalar: (value) => builder.constant(`scalar${value}`, Float32Array.of(value), []),
    multiply: (a, b) => builder.node('Mul', [a, b]),
    subtract: (a, b) => builder.node('Sub', [a, b]),
    negate: (a) => builder.node('Neg', [a]),
    exp: (a) => builder.node('Exp', [a]),
    relu: (a) => builder.node('Relu', [a]),
    step: (a) => builder.node('Sign', [a]),
    logSoftmax: (a) => builder.node('LogSoftmax', [a], { axis: -1 }),
    sum: (a) => builder.node('ReduceSum', [a], { keepdims: 0 }),
  };
}
