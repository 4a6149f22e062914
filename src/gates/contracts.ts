import type { GatePlace } from '../networks/onnx.js';
import type { Gate } from './gate.js';
import type { Loss } from './loss.js';

/** A trained gate and its place in the network. */
export interface PlacedGate {
  readonly place: GatePlace;
  readonly gate: Gate;
}

/** Answers of a gated network for a batch of images. */
export interface GatedBatch {
  /** [count] */
  readonly classes: Int32Array;
  /** Exit of each image: 0 for the first gate, the number of gates for the original classifier; [count]. */
  readonly exits: Int32Array;
  /** The exit's confidence (of the original classifier: the same confidence of its logits), [count]. */
  readonly confidences: Float32Array;
}

/** Per-feature scaling to mean 0 and standard deviation 1. */
export interface Scaling {
  /** [features] */
  readonly mean: Float32Array;
  /** 1 / standard deviation, [features]; 0 for a constant feature, so that gates ignore it. */
  readonly inverse: Float32Array;
}

/** A linear classifier d = sV - a on scaled features s = (x - mean) * inverse, to be trained. */
export interface LinearProblem {
  readonly features: number;
  readonly classes: number;
  readonly loss: Loss;
  readonly scaling: Scaling;
  /**
   * Symmetric diagonal blocks of a matrix P that multiplies the weights' gradient, each [size, size] row-major; the
   * sizes add up to `features`. None: P is the identity.
   */
  readonly preconditioner: readonly Float32Array[];
}

/** Gradient of a loss summed over a batch. */
export interface LinearGradientResult {
  /** P (dLoss/dV + ridge V), [features, classes] row-major. */
  readonly weights: Float32Array;
  /** dLoss/da, [classes]. */
  readonly bias: Float32Array;
  /** The loss, summed over the images of the batch and, one-vs-all, over the classes. */
  readonly loss: number;
}

/** Computes losses and gradients of a linear classifier batch by batch. */
export interface LinearGradient {
  /**
   * @param x unscaled features, [count, features] row-major
   * @param target class of each image, 0 .. classes - 1; or, of cross-entropy, a probability of each class, [count, classes]
   * @param weights V, [features, classes] row-major
   * @param bias a, [classes]
   * @param ridge factor of V in the gradient: lambda times the number of images for lambda/2 |V|^2
   */
  run(
    x: Float32Array,
    target: Int32Array | Float32Array,
    weights: Float32Array,
    bias: Float32Array,
    ridge: number,
  ): Promise<LinearGradientResult>;
  close(): Promise<void>;
}

/** Sums products of scaled features over batches: the diagonal blocks of s^T s. */
export interface BlockCovariance {
  /** @returns each block [size, size] row-major, summed over the images of the batch */
  run(x: Float32Array): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/** Products of matrices, row-major. */
export interface MatrixProduct {
  /** @returns a b, or a^T b */
  run(
    a: Float32Array,
    shapeOfA: readonly [rows: number, columns: number],
    b: Float32Array,
    shapeOfB: readonly [rows: number, columns: number],
    transposed?: 'first transposed',
  ): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The part of an engine that trains gates: its linear algebra. */
export interface GateTrainer {
  loadProduct(): Promise<MatrixProduct>;
  loadLinearGradient(problem: LinearProblem): Promise<LinearGradient>;
  /** @param blocks sizes of the blocks, adding up to the features */
  loadCovariance(scaling: Scaling, blocks: readonly number[]): Promise<BlockCovariance>;
}

/** Features and labels for training, read in batches to bound the memory. */
export interface TrainingData {
  readonly count: number;
  readonly features: number;
  readonly classes: number;
  /** Images stand in it more than once: a part of them says less about all. */
  readonly repeats?: boolean;
  /**
   * One pass over all images, in their order or shuffled by a seed. The next batch may reuse a batch's arrays.
   */
  batches(size: number, shuffleSeed?: number): AsyncIterable<GateTrainingBatch>;
}

export interface GateTrainingBatch {
  /** [count, features] row-major */
  readonly x: Float32Array;
  readonly labels: Int32Array;
  /** The network's softmax, where gates learn from it: [count, classes] */
  readonly probabilities?: Float32Array;
}
