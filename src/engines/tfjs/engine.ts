import { availableParallelism } from 'node:os';
import type { Tensor } from '@tensorflow/tfjs';
import { InputError } from '../../errors.js';
import type { ConfidenceKind } from '../../gates/confidence.js';
import type { PlacedGate } from '../../gates/contracts.js';
import { described, type GatePlace } from '../../networks/onnx.js';
import type { GatedSource, LoadedNetwork, NetworkOutputs } from '../../onnx/loaded.js';
import type { EngineDescription } from '../../timing/machine.js';
import type { Engine, FeatureBatch, FeatureNetwork, GatedNetwork } from '../engine.js';
import { loadTensorFlow, type TensorFlowBackend, type TfjsId } from './backend.js';
import { deviceGated } from './gated.js';
import { deviceNetwork } from './network.js';

/** TensorFlow.js on any of its backends. */
export class TensorFlowEngine implements Engine {
  readonly #tensorFlow: TensorFlowBackend;

  private constructor(tensorFlow: TensorFlowBackend) {
    this.#tensorFlow = tensorFlow;
  }

  /** @throws EngineUnavailable */
  static async create(id: TfjsId): Promise<TensorFlowEngine> {
    return new TensorFlowEngine(await loadTensorFlow(id));
  }

  describe(): EngineDescription {
    const { id, device, versions, isNode } = this.#tensorFlow;
    // The WASM backend has no threads in Node.
    return { id, device, threads: isNode ? availableParallelism() : 1, versions };
  }

  async loadFeatures(
    loaded: LoadedNetwork,
    places: readonly GatePlace[],
    wanted?: NetworkOutputs,
  ): Promise<FeatureNetwork> {
    const lowered = described(loaded, this.#tensorFlow.id);
    const { tf, activate } = this.#tensorFlow;
    await activate();
    const network = deviceNetwork(tf, lowered, places, wanted);
    const { channels, height, width } = lowered.network.input;
    return {
      run: async (images, count): Promise<FeatureBatch> => {
        await activate();
        const { features, logits } = tf.tidy(() => network.run(tf.tensor4d(images, [count, channels, height, width])));
        const read = await readAll([...features, ...(logits ? [logits] : [])]);
        return { features: read.slice(0, features.length), logits: read[features.length] ?? new Float32Array() };
      },
      close: async () => network.dispose(),
    };
  }

  async loadGated(
    loaded: GatedSource,
    gates: readonly PlacedGate[],
    confidence: ConfidenceKind,
  ): Promise<GatedNetwork> {
    if ('members' in loaded) throw new InputError(`engine ${this.#tensorFlow.id}: runs no cascade; valid: ort-cpu`);
    await this.#tensorFlow.activate();
    return deviceGated(this.#tensorFlow, described(loaded, this.#tensorFlow.id), gates, confidence);
  }
}

/** Reads the values of tensors and frees them. Only asynchronous reading works on every backend. */
async function readAll(tensors: readonly Tensor[]): Promise<Float32Array[]> {
  try {
    return await Promise.all(tensors.map(async (tensor) => (await tensor.data()) as Float32Array));
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}
