import type { Network } from '../networks/network.js';
import type { TensorMap } from '../tensor.js';
import type { EngineDescription } from '../timing/machine.js';
import type { Recipe } from './recipe.js';

/** All that a network in training consists of, in PyTorch's names, shapes and orders. */
export interface TrainingTensors {
  /** The tensors of `networkTensors(network)`, running statistics included. */
  readonly weights: TensorMap;
  /** SGD's velocity of each trainable tensor, under its name. */
  readonly momenta: TensorMap;
}

/** What a step found. */
export interface StepResult {
  /** Mean loss of the batch, label smoothing included, before the step. */
  readonly loss: number;
  /** Images of the batch that were classified correctly. */
  readonly correct: number;
}

/** A network on an engine that can train it. */
export interface Trainer {
  /** @param images (labels.length, channels, height, width), normalised */
  step(images: Float32Array, labels: Int32Array, learningRate: number): Promise<StepResult>;
  /** Logits in evaluation mode, (count, classes). @param images (count, channels, height, width), normalised */
  logits(images: Float32Array, count: number): Promise<Float32Array>;
  /** Copies of everything, bit for bit. */
  tensors(): Promise<TrainingTensors>;
  close(): Promise<void>;
}

/** An engine that trains. */
export interface TrainingEngine {
  describe(): EngineDescription;
  /** @param tensors momenta that are missing are 0 */
  load(network: Network, recipe: Recipe, tensors: TrainingTensors): Promise<Trainer>;
}
