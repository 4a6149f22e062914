import { availableParallelism } from 'node:os';
import type { Tensor, Tensor2D } from '@tensorflow/tfjs';
import type { ConfidenceKind } from '../../gates/confidence.js';
import type {
  BlockCovariance,
  LinearGradient,
  LinearGradientResult,
  LinearProblem,
  PlacedGate,
  Scaling,
} from '../../gates/contracts.js';
import { described } from '../../networks/onnx.js';
import type { GatePlace } from '../../networks/pooling.js';
import type { LoadedNetwork, NetworkOutputs } from '../../onnx/loaded.js';
import type { EngineDescription } from '../../timing/machine.js';
import type { Engine, FeatureBatch, FeatureNetwork, GatedNetwork } from '../engine.js';
import { loadTensorFlow, type TensorFlow, type TensorFlowBackend, type TfjsId } from './backend.js';
import { deviceGated } from './gated.js';
import { deviceScaling, linearGradient, splitInto } from './linear.js';
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
    loaded: LoadedNetwork,
    gates: readonly PlacedGate[],
    confidence: ConfidenceKind,
  ): Promise<GatedNetwork> {
    await this.#tensorFlow.activate();
    return deviceGated(this.#tensorFlow, described(loaded, this.#tensorFlow.id), gates, confidence);
  }

  async loadLinearGradient(problem: LinearProblem): Promise<LinearGradient> {
    const { tf, activate } = this.#tensorFlow;
    await activate();
    const { features, classes } = problem;
    const scaling = deviceScaling(tf, problem.scaling);
    const preconditioner = problem.preconditioner.map((block) => squareMatrix(tf, block));
    return {
      run: async (x, labels, weights, bias, ridge): Promise<LinearGradientResult> => {
        await activate();
        const results = tf.tidy(() =>
          linearGradient(tf, problem, preconditioner, {
            scaled: scaling.scale(tf.tensor2d(x, [labels.length, features])),
            labels: tf.tensor1d(labels, 'int32'),
            weights: tf.tensor2d(weights, [features, classes]),
            bias: tf.tensor1d(bias),
            ridge,
          }),
        );
        const [weightGradient, biasGradient, loss] = await readAll([results.weights, results.bias, results.loss]);
        return { weights: weightGradient!, bias: biasGradient!, loss: loss![0]! };
      },
      close: async () => {
        scaling.dispose();
        tf.dispose(preconditioner);
      },
    };
  }

  async loadCovariance(scaling: Scaling, blocks: readonly number[]): Promise<BlockCovariance> {
    const { tf, activate } = this.#tensorFlow;
    await activate();
    const onDevice = deviceScaling(tf, scaling);
    const features = scaling.mean.length;
    return {
      run: async (x): Promise<Float32Array[]> => {
        await activate();
        const products = tf.tidy(() => {
          const scaled = onDevice.scale(tf.tensor2d(x, [x.length / features, features]));
          return splitInto(tf, scaled, blocks, 1).map((columns) => tf.matMul(columns, columns, true, false));
        });
        return readAll(products);
      },
      close: async () => onDevice.dispose(),
    };
  }
}

function squareMatrix(tf: TensorFlow, values: Float32Array): Tensor2D {
  const size = Math.sqrt(values.length);
  return tf.tensor2d(values, [size, size]);
}

/** Reads the values of tensors and frees them. Only asynchronous reading works on every backend. */
async function readAll(tensors: readonly Tensor[]): Promise<Float32Array[]> {
  try {
    return await Promise.all(tensors.map(async (tensor) => (await tensor.data()) as Float32Array));
  } finally {
    for (const tensor of tensors) tensor.dispose();
  }
}
