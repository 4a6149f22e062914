import type { GatePlace } from '../networks/pooling.js';
import type { Gate } from './gate.js';
import type { Loss } from './loss.js';

/** A trained gate and where it sits. */
export interface PlacedGate {
  readonly place: GatePlace;
  readonly gate: Gate;
}

/** What a gated network says of each image of a batch. */
export interface GatedBatch {
  /** [count] */
  readonly classes: Int32Array;
  /** Exit that each image took, 0 for the first gate; the number of gates for the original classifier; [count]. */
  readonly exits: Int32Array;
  /** What that exit held against its threshold (the original classifier: the same kind, of its logits), [count]. */
  readonly confidences: Float32Array;
}

/** Per-feature scaling to mean 0 and standard deviation 1. */
export interface Scaling {
  /** [features] */
  readonly mean: Float32Array;
  /** 1 / standard deviation, [features]; 0 for a feature that does not vary, which a gate then ignores. */
  readonly inverse: Float32Array;
}

/** A linear classifier d = sV - a on scaled features s = (x - mean) * inverse, to be trained. */
export interface LinearProblem {
  readonly features: number;
  readonly classes: number;
  readonly loss: Loss;
  readonly scaling: Scaling;
  /**
   * Symmetric blocks along the diagonal of a matrix P that the weights' gradient is multiplied with, each
   * [size, size] row-major, sizes adding up to `features`.
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
   * @param x features as they come, [count, features] row-major
   * @param labels class of each image, 0 .. classes - 1
   * @param weights V, [features, classes] row-major
   * @param bias a, [classes]
   * @param ridge factor of V in the gradient: lambda times the number of images for lambda/2 |V|^2
   */
  run(
    x: Float32Array,
    labels: Int32Array,
    weights: Float32Array,
    bias: Float32Array,
    ridge: number,
  ): Promise<LinearGradientResult>;
  close(): Promise<void>;
}

/** Sums products of scaled features over batches: s^T s, by blocks along the diagonal. */
export interface BlockCovariance {
  /** @returns each block [size, size] row-major, summed over the images of the batch */
  run(x: Float32Array): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/** What trains gates on an engine: an engine's linear algebra, and nothing else of it. */
export interface GateTrainer {
  loadLinearGradient(problem: LinearProblem): Promise<LinearGradient>;
  /** @param blocks sizes of the blocks, adding up to the features */
  loadCovariance(scaling: Scaling, blocks: readonly number[]): Promise<BlockCovariance>;
}

/** Features and labels for training, batch by batch, so that they need not be in memory all at once. */
export interface TrainingData {
  readonly count: number;
  readonly features: number;
  readonly classes: number;
  /**
   * One pass over all images: as they come, or shuffled by a seed. A batch's arrays may be used again for the next one.
   */
  batches(size: number, shuffleSeed?: number): AsyncIterable<GateTrainingBatch>;
}

export interface GateTrainingBatch {
  /** [count, features] row-major */
  readonly x: Float32Array;
  readonly labels: Int32Array;
}
