import type { ConfidenceKind } from '../gates/confidence.js';
import type { GatedBatch, GateTrainer, PlacedGate } from '../gates/contracts.js';
import type { GatePlace } from '../networks/pooling.js';
import type { LoadedNetwork, NetworkOutputs } from '../onnx/loaded.js';
import type { EngineDescription } from '../timing/machine.js';

/** What a network gives for one batch of images. */
export interface FeatureBatch {
  /** Pooled features of each gate, [batch, features] row-major. */
  readonly features: readonly Float32Array[];
  /** Final logits, [batch, classes] row-major; empty where only features were asked for. */
  readonly logits: Float32Array;
}

/** A network loaded on an engine. */
export interface FeatureNetwork {
  /** Runs a batch: `images` is [count, channels, height, width], normalised. */
  run(images: Float32Array, count: number): Promise<FeatureBatch>;
  close(): Promise<void>;
}

/** A network with gates that stops computing for an image where it leaves (Algorithm 1). */
export interface GatedNetwork {
  /**
   * Runs a batch. The device has finished when the promise is kept.
   *
   * @param images [count, channels, height, width], normalised
   * @param thresholds one for each gate; an image leaves where its confidence is >= the threshold; Infinity closes a gate
   */
  run(images: Float32Array, count: number, thresholds: readonly number[]): Promise<GatedBatch>;
  /**
   * Does all that the engine does when it first meets batches of this size, whatever number of images goes on behind
   * each gate, so that no later run does. Engines that do nothing of the kind have none.
   */
  prepare?(count: number): Promise<void>;
  close(): Promise<void>;
}

/** What executes networks. One folder each under `src/engines`. */
export interface Engine extends GateTrainer {
  describe(): EngineDescription;
  /**
   * @param places gates whose features are wanted, checked with `checkPlaces`
   * @param wanted `features`: nothing behind the last gate is computed; there must be a gate
   * @throws InputError where it cannot run a network of one's own
   */
  loadFeatures(network: LoadedNetwork, places: readonly GatePlace[], wanted?: NetworkOutputs): Promise<FeatureNetwork>;
  /** @param gates in the order of their stages, places checked with `checkPlaces` */
  loadGated(network: LoadedNetwork, gates: readonly PlacedGate[], confidence: ConfidenceKind): Promise<GatedNetwork>;
}
