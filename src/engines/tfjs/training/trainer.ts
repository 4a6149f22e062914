import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import { decide } from '../../../gates/confidence.js';
import { EPSILON } from '../../../networks/lower.js';
import { type Network, networkTensors } from '../../../networks/network.js';
import type { Tensor as StoredTensor, TensorMap } from '../../../tensor.js';
import type { Recipe, StepResult, Trainer, TrainingEngine, TrainingTensors } from '../../../training/state.js';
import type { TensorFlow, TensorFlowBackend } from '../backend.js';
import { describeBackend } from '../engine.js';
import { applyLayers, imageMap, type LayerMode } from '../network.js';
import { type Normalised, type TrainingKernels, trainingKernels } from './kernels.js';

/** PyTorch's momentum of batch norm. */
const RUNNING_SHARE = 0.1;

export function tfjsTraining(loaded: TensorFlowBackend): TrainingEngine {
  return {
    describe: () => describeBackend(loaded),
    load: async (network, recipe, tensors) => {
      await loaded.activate();
      return new TfjsTrainer(loaded, network, recipe, tensors);
    },
  };
}

/** A network in training, its tensors on the device. */
class TfjsTrainer implements Trainer {
  readonly #loaded: TensorFlowBackend;
  readonly #tf: TensorFlow;
  readonly #network: Network;
  readonly #labelSmoothing: number;
  readonly #kernels: TrainingKernels;
  /** All tensors of the network, kept; convolutions as [kernel, kernel, in, out]. */
  readonly #weights: Map<string, Tensor>;
  readonly #trainable: readonly string[];
  readonly #sgd: Sgd;

  constructor(loaded: TensorFlowBackend, network: Network, recipe: Recipe, tensors: TrainingTensors) {
    const { tf } = loaded;
    this.#loaded = loaded;
    this.#tf = tf;
    this.#network = network;
    this.#labelSmoothing = recipe.labelSmoothing;
    this.#kernels = trainingKernels(loaded);
    this.#weights = upload(tf, tensors.weights);
    this.#trainable = networkTensors(network).flatMap(({ name, trainable }) => (trainable ? [name] : []));
    this.#sgd = new Sgd(tf, recipe, decayed(network, recipe), upload(tf, tensors.momenta));
  }

  async step(images: Float32Array, labels: Int32Array, learningRate: number): Promise<StepResult> {
    const tf = this.#tf;
    await this.#loaded.activate();
    const statistics = new Map<string, Normalised>();
    let logits: Tensor2D | undefined;
    const loss = tf.tidy(() => {
      const x = imageMap(tf, images, labels.length, this.#network.input);
      const targets = this.#targets(labels);
      const { value, grads } = tf.valueAndGrads((...parameters: Tensor[]) => {
        const byName = new Map(this.#trainable.map((name, i) => [name, parameters[i]!]));
        logits = tf.keep(this.#forward(this.#trainingMode(byName, statistics), x));
        return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)));
      })(this.#trainable.map((name) => this.#weights.get(name)!));
      this.#sgd.step(this.#weights, new Map(this.#trainable.map((name, i) => [name, grads[i]!])), learningRate);
      this.#updateStatistics(statistics);
      return value;
    });
    const [lossData, logitData] = await Promise.all([loss.data(), logits!.data()]);
    tf.dispose([loss, logits!]);
    const { classes } = decide(logitData as Float32Array, this.#network.classifier.out, 'max');
    return { loss: lossData[0]!, correct: classes.filter((answer, image) => answer === labels[image]).length };
  }

  async logits(images: Float32Array, count: number): Promise<Float32Array> {
    const tf = this.#tf;
    await this.#loaded.activate();
    const tensor = (name: string): Tensor => this.#weights.get(name)!;
    const mode: LayerMode = {
      tensor,
      batchNorm({ name }, x) {
        const parts = ['running_mean', 'running_var', 'bias', 'weight'].map((part) => tensor(`${name}.${part}`));
        const [mean, variance, bias, weight] = parts as [Tensor1D, Tensor1D, Tensor1D, Tensor1D];
        return tf.batchNorm4d(x, mean, variance, bias, weight, EPSILON);
      },
      relu: (x) => tf.relu(x),
      releasesMaps: true,
    };
    const logits = tf.tidy(() => this.#forward(mode, imageMap(tf, images, count, this.#network.input)));
    const data = await logits.data();
    logits.dispose();
    return data as Float32Array;
  }

  async tensors(): Promise<TrainingTensors> {
    await this.#loaded.activate();
    return { weights: await download(this.#tf, this.#weights), momenta: await download(this.#tf, this.#sgd.momenta) };
  }

  async close(): Promise<void> {
    this.#tf.dispose([...this.#weights.values()]);
    this.#sgd.close();
  }

  /** Runs the network's description; nothing is folded. @param x [count, height, width, channels] */
  #forward(mode: LayerMode, x: Tensor4D): Tensor2D {
    const tf = this.#tf;
    const { stem, stages, classifier } = this.#network;
    const layers = [...stem, ...stages.flatMap((stage) => [...stage.layers, ...stage.transition]), ...classifier.head];
    const features = tf.mean<Tensor2D>(applyLayers(tf, layers, mode, x), [1, 2]);
    const weight = mode.tensor(`${classifier.name}.weight`) as Tensor2D; // [classes, features]
    return tf.add(tf.matMul(features, weight, false, true), mode.tensor(`${classifier.name}.bias`));
  }

  #trainingMode(parameters: ReadonlyMap<string, Tensor>, statistics: Map<string, Normalised>): LayerMode {
    const tensor = (name: string): Tensor => parameters.get(name)!;
    return {
      tensor,
      relu: (x) => this.#kernels.relu(x),
      releasesMaps: false,
      batchNorm: ({ name }, x) => {
        const [gamma, beta] = [tensor(`${name}.weight`) as Tensor1D, tensor(`${name}.bias`) as Tensor1D];
        const normalised = this.#kernels.batchNorm(x, gamma, beta);
        statistics.set(name, normalised);
        return normalised.y;
      },
    };
  }

  /** One-hot targets [count, classes], smoothed as in PyTorch's cross-entropy. */
  #targets(labels: Int32Array): Tensor2D {
    const classes = this.#network.classifier.out;
    const spread = this.#labelSmoothing / classes;
    const data = new Float32Array(labels.length * classes).fill(spread);
    labels.forEach((label, image) => {
      data[image * classes + label] = 1 - this.#labelSmoothing + spread;
    });
    return this.#tf.tensor2d(data, [labels.length, classes]);
  }

  #updateStatistics(statistics: ReadonlyMap<string, Normalised>): void {
    const tf = this.#tf;
    for (const [name, { mean, variance }] of statistics) {
      for (const [key, fresh] of [
        [`${name}.running_mean`, mean],
        [`${name}.running_var`, variance],
      ] as const) {
        const old = this.#weights.get(key)!;
        this.#weights.set(key, tf.keep(tf.add(tf.mul(old, 1 - RUNNING_SHARE), tf.mul(fresh, RUNNING_SHARE))));
        tf.dispose([old, fresh]);
      }
    }
  }
}

function decayed(network: Network, { decayBatchNorm }: Recipe): Set<string> {
  const { name: classifier } = network.classifier;
  return new Set(
    networkTensors(network).flatMap(({ name, shape, trainable }) => {
      const ofBatchNorm = shape.length === 1 && !name.startsWith(`${classifier}.`);
      return trainable && (decayBatchNorm || !ofBatchNorm) ? [name] : [];
    }),
  );
}

/** PyTorch's tensors on the device: convolutions [out, in, height, width] as [height, width, in, out]. */
function upload(tf: TensorFlow, tensors: TensorMap): Map<string, Tensor> {
  const onDevice = ({ shape, data }: StoredTensor): Tensor => {
    const values = tf.tensor(data.slice(), [...shape], 'float32'); // a copy: TensorFlow.js may go on reading the array
    return shape.length === 4 ? tf.transpose(values, [2, 3, 1, 0]) : values;
  };
  return new Map([...tensors].map(([name, tensor]) => [name, tf.keep(tf.tidy(() => onDevice(tensor)))]));
}

async function download(tf: TensorFlow, tensors: ReadonlyMap<string, Tensor>): Promise<TensorMap> {
  const entries = [...tensors].map(async ([name, tensor]) => {
    const values = tensor.rank === 4 ? tf.transpose(tensor, [3, 2, 0, 1]) : tf.clone(tensor);
    const data = (await values.data()) as Float32Array;
    values.dispose();
    return [name, { shape: values.shape, data: data.slice() }] as const;
  });
  return new Map(await Promise.all(entries));
}

/** Stochastic gradient descent with momentum and weight decay, as in `torch.optim.SGD`. */
class Sgd {
  readonly #tf: TensorFlow;
  readonly #nesterov: boolean;
  readonly #decayed: ReadonlySet<string>;
  readonly #momentum: Tensor;
  readonly #decay: Tensor;
  readonly #momenta: Map<string, Tensor>;

  /** @param momenta kept tensors, now owned by this object; a parameter without one starts at 0 */
  constructor(
    tf: TensorFlow,
    recipe: Pick<Recipe, 'momentum' | 'nesterov' | 'weightDecay'>,
    decayed: ReadonlySet<string>,
    momenta: Map<string, Tensor>,
  ) {
    this.#tf = tf;
    this.#nesterov = recipe.nesterov;
    this.#decayed = decayed;
    this.#momentum = tf.keep(tf.scalar(recipe.momentum));
    this.#decay = tf.keep(tf.scalar(recipe.weightDecay));
    this.#momenta = momenta;
  }

  get momenta(): ReadonlyMap<string, Tensor> {
    return this.#momenta;
  }

  /** Replaces each parameter that has a gradient, and disposes of the old one. Call it within `tf.tidy`. */
  step(parameters: Map<string, Tensor>, gradients: ReadonlyMap<string, Tensor>, learningRate: number): void {
    const tf = this.#tf;
    const rate = tf.scalar(learningRate);
    for (const [name, plain] of gradients) {
      const parameter = parameters.get(name)!;
      const old = this.#momenta.get(name);
      // g = gradient + decay w;  v = momentum v + g;  w -= rate (v, or by Nesterov g + momentum v)
      const gradient = this.#decayed.has(name) ? tf.add(plain, tf.mul(parameter, this.#decay)) : plain;
      const velocity = old === undefined ? tf.clone(gradient) : tf.add(tf.mul(old, this.#momentum), gradient);
      const update = this.#nesterov ? tf.add(gradient, tf.mul(velocity, this.#momentum)) : velocity;
      this.#momenta.set(name, tf.keep(velocity));
      parameters.set(name, tf.keep(tf.sub(parameter, tf.mul(update, rate))));
      parameter.dispose();
      old?.dispose();
    }
  }

  close(): void {
    this.#tf.dispose([this.#momentum, this.#decay, ...this.#momenta.values()]);
  }
}
