import { GraphBuilder } from './builder.js';

/** Names in a linear-gradient graph. */
export const linearGraphNames = {
  x: 'x',
  labels: 'labels',
  weights: 'weights',
  bias: 'bias',
  weightGradient: 'weight_gradient',
  biasGradient: 'bias_gradient',
  loss: 'loss',
} as const;

/**
 * Loss and (sub-)gradient of d = xW - b, summed over a batch.
 *
 * Hinge, one-vs-all (paper, equations 1 and 2): sum over images and classes of max(0, 1 - y d) with y = 1 for the
 * image's class and -1 for the others; the sub-gradient is -y x where y d < 1, else 0 (the paper prints the condition
 * as y_hat < 1; the text below it has the sign of y in it).
 *
 * Cross-entropy: sum over images of -log softmax(d)[label].
 *
 * Inputs: x float [batch, features], labels int64 [batch], weights float [features, classes], bias float [classes].
 */
export function linearGradientGraph(features: number, classes: number, loss: 'hinge' | 'cross-entropy'): Uint8Array {
  const names = linearGraphNames;
  const builder = new GraphBuilder(`${loss} gradient`);
  const x = builder.input(names.x, 'float', ['batch', features]);
  const labels = builder.input(names.labels, 'int64', ['batch']);
  const weights = builder.input(names.weights, 'float', [features, classes]);
  const bias = builder.input(names.bias, 'float', [classes]);
  const distances = builder.node('Sub', [builder.node('MatMul', [x, weights]), bias]); // [batch, classes]

  // dLoss/dd, [batch, classes]
  const gradient =
    loss === 'hinge'
      ? hingeGradient(builder, distances, labels, classes)
      : crossEntropyGradient(builder, distances, labels, classes);

  const transposed = builder.node('Transpose', [x], { perm: [1, 0] });
  builder.node('MatMul', [transposed, gradient], {}, names.weightGradient); // [features, classes]
  const summed = builder.node('ReduceSum', [gradient, builder.ints('batch_axis', [0])], { keepdims: 0 });
  builder.node('Neg', [summed], {}, names.biasGradient); // dd/db = -1
  builder.output(names.weightGradient, 'float', [features, classes]);
  builder.output(names.biasGradient, 'float', [classes]);
  builder.output(names.loss, 'float', []);
  return builder.encode();
}

function oneHot(builder: GraphBuilder, labels: string, classes: number, off: number): string {
  const depth = builder.ints('classes', [classes]);
  const values = builder.constant('off_on', Float32Array.of(off, 1), [2]);
  return builder.node('OneHot', [labels, depth, values], { axis: -1 });
}

function hingeGradient(builder: GraphBuilder, distances: string, labels: string, classes: number): string {
  const signs = oneHot(builder, labels, classes, -1);
  const one = builder.constant('one', Float32Array.of(1), []);
  const violation = builder.node('Relu', [builder.node('Sub', [one, builder.node('Mul', [signs, distances])])]);
  builder.node('ReduceSum', [violation], { keepdims: 0 }, linearGraphNames.loss);
  // Sign of the violation is 1 where the margin is violated, 0 where it is kept.
  return builder.node('Neg', [builder.node('Mul', [signs, builder.node('Sign', [violation])])]);
}

function crossEntropyGradient(builder: GraphBuilder, distances: string, labels: string, classes: number): string {
  const target = oneHot(builder, labels, classes, 0);
  const logProbabilities = builder.node('LogSoftmax', [distances], { axis: -1 });
  const picked = builder.node('ReduceSum', [builder.node('Mul', [target, logProbabilities])], { keepdims: 0 });
  builder.node('Neg', [picked], {}, linearGraphNames.loss);
  return builder.node('Sub', [builder.node('Exp', [logProbabilities]), target]);
}
