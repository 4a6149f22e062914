import type { Network } from '../networks/network.js';
import type { TensorMap } from '../tensor.js';
import type { EngineDescription } from '../timing/machine.js';
import type { Recipe } from './recipe.js';

/** All tensors of a training, with PyTorch's names, shapes and orders. */
export interface TrainingTensors {
  /** The tensors of `networkTensors(network)`, running statistics included. */
  readonly weights: TensorMap;
  /** SGD's velocity of each trainable tensor, under its name. */
  readonly momenta: TensorMap;
}

/** The result of a step. */
export interface StepResult {
  /** Mean loss of the batch, label smoothing included, before the step. */
  readonly loss: number;
  /** Number of the batch's images that were classified correctly. */
  readonly correct: number;
}

/** A network on an engine that can train it. */
export interface Trainer {
  /** @param images (labels.length, channels, height, width), normalised */
  step(images: Float32Array, labels: Int32Array, learningRate: number): Promise<StepResult>;
  /** Logits in evaluation mode, (count, classes). @param images (count, channels, height, width), normalised */
  logits(images: Float32Array, count: number): Promise<Float32Array>;
  /** Exact copies of all tensors. */
  tensors(): Promise<TrainingTensors>;
  close(): Promise<void>;
}

/** An engine that trains. */
export interface TrainingEngine {
  describe(): EngineDescription;
  /** Loads a network. @param tensors missing momenta are 0 */
  load(network: Network, recipe: Recipe, tensors: TrainingTensors): Promise<Trainer>;
}
