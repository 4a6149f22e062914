import type { Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import { decide } from '../../../gates/confidence.js';
import { EPSILON } from '../../../networks/lower.js';
import { type Network, networkTensors } from '../../../networks/network.js';
import type { Tensor as StoredTensor, TensorMap } from '../../../tensor.js';
import type { Recipe, StepResult, Trainer, TrainingEngine, TrainingTensors } from '../../../training/state.js';
import type { TensorFlow, TensorFlowBackend } from '../backend.js';
import { describeBackend, readOnce } from '../engine.js';
import { applyLayers, imageMap, type LayerMode } from '../network.js';
import { type Normalised, trainingKernels } from './kernels.js';

/** PyTorch's momentum of batch norm. */
const RUNNING_SHARE = 0.1;

export function tfjsTraining(loaded: TensorFlowBackend): TrainingEngine {
  return {
    describe: () => describeBackend(loaded),
    load: async (network, recipe, tensors) => {
      await loaded.activate();
      return deviceTrainer(loaded, network, recipe, tensors);
    },
  };
}

/** A network in training, its tensors on the device. */
function deviceTrainer(loaded: TensorFlowBackend, network: Network, recipe: Recipe, tensors: TrainingTensors): Trainer {
  const { tf, activate } = loaded;
  const { stem, stages, classifier, input } = network;
  const layers = [...stem, ...stages.flatMap((stage) => [...stage.layers, ...stage.transition]), ...classifier.head];
  const trainable = networkTensors(network).filter((tensor) => tensor.trainable);
  const parameters = trainable.map(({ name, shape }) => {
    const ofBatchNorm = shape.length === 1 && !name.startsWith(`${classifier.name}.`);
    return { name, isDecayed: recipe.decayBatchNorm || !ofBatchNorm };
  });
  const kernels = trainingKernels(loaded);
  // Kept; convolutions as [kernel, kernel, in, out]. A parameter without a momentum starts at 0.
  const [weights, momenta] = [upload(tf, tensors.weights), upload(tf, tensors.momenta)];

  /** Logits by the network's description; nothing is folded. @param x [count, height, width, channels] */
  const forward = (mode: LayerMode, x: Tensor4D): Tensor2D => {
    const features = tf.mean<Tensor2D>(applyLayers(tf, layers, mode, x), [1, 2]);
    const weight = mode.tensor(`${classifier.name}.weight`) as Tensor2D; // [classes, features]
    return tf.add(tf.matMul(features, weight, false, true), mode.tensor(`${classifier.name}.bias`));
  };
  return {
    async step(images, labels, learningRate): Promise<StepResult> {
      await activate();
      const statistics = new Map<string, Normalised>();
      let logits: Tensor2D | undefined;
      const loss = tf.tidy(() => {
        const x = imageMap(tf, images, labels.length, input);
        const targets = targetsOf(tf, labels, classifier.out, recipe.labelSmoothing);
        const { value, grads } = tf.valueAndGrads((...given: Tensor[]) => {
          const byName = new Map(parameters.map(({ name }, i) => [name, given[i]!]));
          logits = tf.keep(forward(trainingMode(kernels, byName, statistics), x));
          return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)));
        })(parameters.map(({ name }) => weights.get(name)!));
        descend(tf, recipe, parameters, { weights, momenta, gradients: grads }, learningRate);
        updateStatistics(tf, weights, statistics);
        return value;
      });
      const [lossData, logitData] = await Promise.all([loss.data(), logits!.data()]);
      tf.dispose([loss, logits!]);
      const { classes } = decide(logitData as Float32Array, classifier.out, 'max');
      return { loss: lossData[0]!, correct: classes.filter((answer, image) => answer === labels[image]).length };
    },
    async logits(images, count) {
      await activate();
      return readOnce(tf.tidy(() => forward(evaluationMode(tf, weights), imageMap(tf, images, count, input))));
    },
    async tensors() {
      await activate();
      return { weights: await download(tf, weights), momenta: await download(tf, momenta) };
    },
    async close() {
      tf.dispose([...weights.values(), ...momenta.values()]);
    },
  };
}

/** @param statistics receives those of each batch norm */
function trainingMode(
  kernels: ReturnType<typeof trainingKernels>,
  parameters: ReadonlyMap<string, Tensor>,
  statistics: Map<string, Normalised>,
): LayerMode {
  const tensor = (name: string): Tensor => parameters.get(name)!;
  return {
    tensor,
    relu: (x) => kernels.relu(x),
    releasesMaps: false,
    batchNorm: ({ name }, x) => {
      const [gamma, beta] = [tensor(`${name}.weight`) as Tensor1D, tensor(`${name}.bias`) as Tensor1D];
      const normalised = kernels.batchNorm(x, gamma, beta);
      statistics.set(name, normalised);
      return normalised.y;
    },
  };
}

function evaluationMode(tf: TensorFlow, weights: ReadonlyMap<string, Tensor>): LayerMode {
  const tensor = (name: string): Tensor => weights.get(name)!;
  return {
    tensor,
    relu: (x) => tf.relu(x),
    releasesMaps: true,
    batchNorm: ({ name }, x) => {
      const parts = ['running_mean', 'running_var', 'bias', 'weight'].map((part) => tensor(`${name}.${part}`));
      const [mean, variance, bias, weight] = parts as [Tensor1D, Tensor1D, Tensor1D, Tensor1D];
      return tf.batchNorm4d(x, mean, variance, bias, weight, EPSILON);
    },
  };
}

/** One-hot targets [count, classes], smoothed as in PyTorch's cross-entropy. */
function targetsOf(tf: TensorFlow, labels: Int32Array, classes: number, smoothing: number): Tensor2D {
  const spread = smoothing / classes;
  const data = new Float32Array(labels.length * classes).fill(spread);
  labels.forEach((label, image) => {
    data[image * classes + label] = 1 - smoothing + spread;
  });
  return tf.tensor2d(data, [labels.length, classes]);
}

/** A step of gradient descent with momentum and weight decay, as in `torch.optim.SGD`. Call it within `tf.tidy`. */
function descend(
  tf: TensorFlow,
  { momentum, weightDecay, nesterov }: Recipe,
  parameters: readonly { readonly name: string; readonly isDecayed: boolean }[],
  of: { readonly weights: Tensors; readonly momenta: Tensors; readonly gradients: readonly Tensor[] },
  learningRate: number,
): void {
  const [rate, inertia, decay] = [tf.scalar(learningRate), tf.scalar(momentum), tf.scalar(weightDecay)];
  for (const [i, { name, isDecayed }] of parameters.entries()) {
    const [weight, plain, old] = [of.weights.get(name)!, of.gradients[i]!, of.momenta.get(name)];
    // g = gradient + decay w;  v = momentum v + g;  w -= rate (v, or by Nesterov g + momentum v)
    const gradient = isDecayed ? tf.add(plain, tf.mul(weight, decay)) : plain;
    const velocity = old === undefined ? tf.clone(gradient) : tf.add(tf.mul(old, inertia), gradient);
    const update = nesterov ? tf.add(gradient, tf.mul(velocity, inertia)) : velocity;
    put(tf, of.momenta, name, velocity);
    put(tf, of.weights, name, tf.sub(weight, tf.mul(update, rate)));
  }
}

function updateStatistics(tf: TensorFlow, weights: Tensors, statistics: ReadonlyMap<string, Normalised>): void {
  for (const [name, { mean, variance }] of statistics) {
    for (const [part, fresh] of Object.entries({ running_mean: mean, running_var: variance })) {
      const old = tf.mul(weights.get(`${name}.${part}`)!, 1 - RUNNING_SHARE);
      put(tf, weights, `${name}.${part}`, tf.add(old, tf.mul(fresh, RUNNING_SHARE)));
      fresh.dispose();
    }
  }
}

type Tensors = Map<string, Tensor>;

/** Keeps a tensor under a name, and frees the one that it replaces. */
function put(tf: TensorFlow, tensors: Tensors, name: string, tensor: Tensor): void {
  const old = tensors.get(name);
  tensors.set(name, tf.keep(tensor));
  old?.dispose();
}

/** PyTorch's tensors on the device: convolutions [out, in, height, width] as [height, width, in, out]. */
function upload(tf: TensorFlow, tensors: TensorMap): Tensors {
  const onDevice = ({ shape, data }: StoredTensor): Tensor => {
    const values = tf.tensor(data.slice(), [...shape], 'float32'); // a copy: TensorFlow.js may go on reading the array
    return shape.length === 4 ? tf.transpose(values, [2, 3, 1, 0]) : values;
  };
  return new Map([...tensors].map(([name, tensor]) => [name, tf.keep(tf.tidy(() => onDevice(tensor)))]));
}

async function download(tf: TensorFlow, tensors: ReadonlyMap<string, Tensor>): Promise<TensorMap> {
  const entries = [...tensors].map(async ([name, tensor]) => {
    const values = tensor.rank === 4 ? tf.transpose(tensor, [3, 2, 0, 1]) : tf.clone(tensor);
    return [name, { shape: values.shape, data: (await readOnce(values)).slice() }] as const;
  });
  return new Map(await Promise.all(entries));
}
