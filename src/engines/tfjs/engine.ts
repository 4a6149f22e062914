import { availableParallelism } from 'node:os';
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs';
import { InputError } from '../../errors.js';
import type { ConfidenceKind } from '../../gates/confidence.js';
import type {
  BlockCovariance,
  LinearGradient,
  LinearGradientResult,
  LinearProblem,
  PlacedGate,
  Scaling,
} from '../../gates/contracts.js';
import type { LossAlgebra } from '../../gates/definitions.js';
import { lossNamed } from '../../gates/loss.js';
import { described, type GatePlace } from '../../networks/onnx.js';
import type { GatedSource, LoadedNetwork, NetworkOutputs } from '../../onnx/loaded.js';
import type { EngineDescription } from '../../timing/machine.js';
import type { Engine, FeatureBatch, FeatureNetwork, GatedNetwork } from '../engine.js';
import { loadTensorFlow, type TensorFlow, type TensorFlowBackend, type TfjsId } from './backend.js';
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

/** Scaled features s = (x - mean) * inverse, with the scaling on the device. */
function deviceScaling(tf: TensorFlow, { mean, inverse }: Scaling) {
  const [centre, factor] = [tf.tensor1d(mean), tf.tensor1d(inverse)];
  return {
    scale: (x: Tensor2D): Tensor2D => tf.mul(tf.sub(x, centre), factor),
    dispose: (): void => tf.dispose([centre, factor]),
  };
}

/** Inputs of a gradient on the device. */
interface GradientInput {
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
function linearGradient(
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
function splitInto(tf: TensorFlow, value: Tensor2D, sizes: readonly number[], axis: 0 | 1): Tensor2D[] {
  return sizes.length === 1 ? [value] : tf.split<Tensor2D>(value, [...sizes], axis);
}
