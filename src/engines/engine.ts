import type { LoweredNetwork } from '../networks/lower.js';
import type { GatePlace } from '../networks/pooling.js';

/** What the run record says of an engine. */
export interface EngineDescription {
  readonly id: string;
  readonly device: string;
  /** Threads of the CPU that it may use. */
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** What a network gives for one batch of images. */
export interface FeatureBatch {
  /** Pooled features of each gate, [batch, features] row-major. */
  readonly features: readonly Float32Array[];
  /** Final logits, [batch, classes] row-major. */
  readonly logits: Float32Array;
}

/** A network loaded on an engine. */
export interface FeatureNetwork {
  /** Runs a batch: `images` is [count, channels, height, width], normalised. */
  run(images: Float32Array, count: number): Promise<FeatureBatch>;
  close(): Promise<void>;
}

export type Loss = 'hinge' | 'cross-entropy';

/** Gradient of a loss summed over a batch, for a linear classifier d = xW - b. */
export interface LinearGradientResult {
  /** dLoss/dW, [features, classes] row-major. */
  readonly weights: Float32Array;
  /** dLoss/db, [classes]. */
  readonly bias: Float32Array;
  /** The loss, summed over the images of the batch and, one-vs-all, over the classes. */
  readonly loss: number;
}

/** Computes losses and gradients of a linear classifier batch by batch. */
export interface LinearGradient {
  /**
   * @param x features [count, features] row-major
   * @param labels class of each image, 0 .. classes - 1
   * @param weights W [features, classes] row-major
   * @param bias b [classes]
   */
  run(x: Float32Array, labels: Int32Array, weights: Float32Array, bias: Float32Array): Promise<LinearGradientResult>;
  close(): Promise<void>;
}

/** What executes networks. One folder each under `src/engines`. */
export interface Engine {
  describe(): EngineDescription;
  /** @param places gates whose features are wanted, checked with `checkPlaces` */
  loadFeatures(network: LoweredNetwork, places: readonly GatePlace[]): Promise<FeatureNetwork>;
  loadLinearGradient(features: number, classes: number, loss: Loss): Promise<LinearGradient>;
}
