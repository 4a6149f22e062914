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
  const names = trainable.map(({ name }) => name);
  const kernels = trainingKernels(loaded);
  // Kept; convolutions as [kernel, kernel, in, out]. A parameter without a momentum starts at 0.
  const [weights, momenta] = [upload(tf, tensors.weights), upload(tf, tensors.momenta)];
  const weight = (name: string): Tensor => weights.get(name)!;

  /** Logits by the network's description; nothing is folded. @param x [count, height, width, channels] */
  const forward = (mode: LayerMode, x: Tensor4D): Tensor2D => {
    const features = tf.mean<Tensor2D>(applyLayers(tf, layers, mode, x), [1, 2]);
    const linear = mode.tensor(`${classifier.name}.weight`) as Tensor2D; // [classes, features]
    return tf.add(tf.matMul(features, linear, false, true), mode.tensor(`${classifier.name}.bias`));
  };
  const trainingMode = (parameters: readonly Tensor[], statistics: Map<string, Normalised>): LayerMode => {
    const byName = new Map(names.map((name, i) => [name, parameters[i]!]));
    const tensor = (name: string): Tensor => byName.get(name)!;
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
  };
  const evaluationMode: LayerMode = {
    tensor: weight,
    relu: (x) => tf.relu(x),
    releasesMaps: true,
    batchNorm: ({ name }, x) => {
      const parts = ['running_mean', 'running_var', 'bias', 'weight'].map((part) => weight(`${name}.${part}`));
      const [mean, variance, shift, scale] = parts as [Tensor1D, Tensor1D, Tensor1D, Tensor1D];
      return tf.batchNorm4d(x, mean, variance, shift, scale, EPSILON);
    },
  };

  /** One-hot targets [count, classes], smoothed as in PyTorch's cross-entropy. */
  const targetsOf = (labels: Int32Array): Tensor2D => {
    const { labelSmoothing } = recipe;
    const spread = labelSmoothing / classifier.out;
    const data = new Float32Array(labels.length * classifier.out).fill(spread);
    labels.forEach((label, image) => {
      data[image * classifier.out + label] = 1 - labelSmoothing + spread;
    });
    return tf.tensor2d(data, [labels.length, classifier.out]);
  };

  /** Replaces a weight, and frees the old one. */
  const setWeight = (name: string, value: Tensor): void => {
    const old = weight(name);
    weights.set(name, tf.keep(value));
    old.dispose();
  };

  /** Stochastic gradient descent with momentum and weight decay, as in `torch.optim.SGD`; within `tf.tidy`. */
  const descend = (gradients: readonly Tensor[], learningRate: number): void => {
    const [rate, momentum, decay] = [
      tf.scalar(learningRate),
      tf.scalar(recipe.momentum),
      tf.scalar(recipe.weightDecay),
    ];
    for (const [i, { name, shape }] of trainable.entries()) {
      const ofBatchNorm = shape.length === 1 && !name.startsWith(`${classifier.name}.`);
      const old = momenta.get(name);
      // g = gradient + decay w;  v = momentum v + g;  w -= rate (v, or by Nesterov g + momentum v)
      const isDecayed = recipe.decayBatchNorm || !ofBatchNorm;
      const gradient = isDecayed ? tf.add(gradients[i]!, tf.mul(weight(name), decay)) : gradients[i]!;
      const velocity = old === undefined ? tf.clone(gradient) : tf.add(tf.mul(old, momentum), gradient);
      const update = recipe.nesterov ? tf.add(gradient, tf.mul(velocity, momentum)) : velocity;
      momenta.set(name, tf.keep(velocity));
      setWeight(name, tf.sub(weight(name), tf.mul(update, rate)));
      old?.dispose();
    }
  };

  const updateStatistics = (statistics: ReadonlyMap<string, Normalised>): void => {
    for (const [name, { mean, variance }] of statistics) {
      for (const [part, fresh] of Object.entries({ running_mean: mean, running_var: variance })) {
        const old = tf.mul(weight(`${name}.${part}`), 1 - RUNNING_SHARE);
        setWeight(`${name}.${part}`, tf.add(old, tf.mul(fresh, RUNNING_SHARE)));
        fresh.dispose();
      }
    }
  };

  return {
    async step(images, labels, learningRate): Promise<StepResult> {
      await activate();
      const statistics = new Map<string, Normalised>();
      let logits: Tensor2D | undefined;
      const loss = tf.tidy(() => {
        const x = imageMap(tf, images, labels.length, input);
        const targets = targetsOf(labels);
        const { value, grads } = tf.valueAndGrads((...parameters: Tensor[]) => {
          logits = tf.keep(forward(trainingMode(parameters, statistics), x));
          return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1)));
        })(names.map(weight));
        descend(grads, learningRate);
        updateStatistics(statistics);
        return value;
      });
      const [lossData, logitData] = await Promise.all([loss.data(), logits!.data()]);
      tf.dispose([loss, logits!]);
      const { classes } = decide(logitData as Float32Array, classifier.out, 'max');
      return { loss: lossData[0]!, correct: classes.filter((answer, image) => answer === labels[image]).length };
    },
    async logits(images, count) {
      await activate();
      return readOnce(tf.tidy(() => forward(evaluationMode, imageMap(tf, images, count, input))));
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
    return [name, { shape: values.shape, data: (await readOnce(values)).slice() }] as const;
  });
  return new Map(await Promise.all(entries));
}
