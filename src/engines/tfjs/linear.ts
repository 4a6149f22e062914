import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import type { LinearProblem, Scaling } from '../../gates/contracts.js';
import type { LossAlgebra } from '../../gates/definitions.js';
import { lossNamed } from '../../gates/loss.js';
import type { TensorFlow } from './backend.js';

/** Scaled features s = (x - mean) * inverse, with the scaling on the device. */
export function deviceScaling(tf: TensorFlow, { mean, inverse }: Scaling) {
  const [centre, factor] = [tf.tensor1d(mean), tf.tensor1d(inverse)];
  return {
    scale: (x: Tensor2D): Tensor2D => tf.mul(tf.sub(x, centre), factor),
    dispose: (): void => tf.dispose([centre, factor]),
  };
}

/** Inputs of a gradient on the device. */
export interface GradientInput {
  /** Scaled features, [batch, features] */
  readonly scaled: Tensor2D;
  /** [batch], int32 */
  readonly labels: Tensor1D;
  /** [features, classes] */
  readonly weights: Tensor2D;
  /** [classes] */
  readonly bias: Tensor1D;
  readonly ridge: number;
}

/**
 * Loss and (sub-)gradient of d = sV - a, summed over a batch: the formulas of `src/onnx/linear.ts`.
 *
 * @returns P (dLoss/dV + ridge V) [features, classes], dLoss/da [classes] and the loss []
 */
export function linearGradient(
  tf: TensorFlow,
  problem: LinearProblem,
  preconditioner: readonly Tensor2D[],
  input: GradientInput,
) {
  const { scaled, labels, weights, bias, ridge } = input;
  const distances = tf.sub<Tensor2D>(tf.matMul(scaled, weights), bias);
  const target = tf.cast(tf.oneHot(labels, problem.classes), 'float32') as Tensor2D;
  const found = lossNamed(problem.loss).write<Tensor>(tensorsOf(tf), distances, target);
  const gradient = found.gradient as Tensor2D; // dLoss/dd, [batch, classes]
  const raw = tf.add<Tensor2D>(tf.matMul(scaled, gradient, true, false), tf.mul(weights, ridge));
  const rows = splitInto(
    tf,
    raw,
    preconditioner.map((block) => block.shape[0]),
    0,
  );
  const blocks = rows.map((part, index) => tf.matMul<Tensor2D>(preconditioner[index]!, part));
  return { weights: tf.concat2d(blocks, 0), bias: tf.neg(tf.sum(gradient, 0)), loss: found.loss }; // dd/da = -1
}

/** The operations of losses on tensors. */
function tensorsOf(tf: TensorFlow): LossAlgebra<Tensor> {
  return {
    scalar: (value) => tf.scalar(value),
    multiply: (a, b) => tf.mul(a, b),
    subtract: (a, b) => tf.sub(a, b),
    negate: (a) => tf.neg(a),
    exp: (a) => tf.exp(a),
    relu: (a) => tf.relu(a),
    step: (a) => tf.step(a),
    logSoftmax: (a) => tf.logSoftmax(a),
    sum: (a) => tf.sum(a),
  };
}

/** Parts of a matrix along an axis. */
export function splitInto(tf: TensorFlow, value: Tensor2D, sizes: readonly number[], axis: 0 | 1): Tensor2D[] {
  return sizes.length === 1 ? [value] : tf.split<Tensor2D>(value, [...sizes], axis);
}
