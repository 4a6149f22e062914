import type { GradSaveFunc, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { BatchNorm, Conv, Layer, Network, Pool, SubsamplePad } from '../../../networks/network.js';
import type { TensorFlow, TensorFlowBackend } from '../backend.js';

/** The differences between training and evaluation, and the source of tensors. */
export interface ForwardMode {
  /** A tensor by its name in the network; convolutions as (kernel, kernel, in, out). */
  tensor(name: string): Tensor;
  batchNorm(layer: BatchNorm, x: Tensor4D): Tensor4D;
  relu(x: Tensor4D): Tensor4D;
  /** Whether a map is freed once the next one is computed; not if gradients are needed. */
  readonly releasesMaps: boolean;
}

/**
 * Runs a network's description in differentiable form: nothing is folded.
 *
 * @param images (count, height, width, channels)
 * @returns logits (count, classes)
 */
export function forward(tf: TensorFlow, network: Network, mode: ForwardMode, images: Tensor4D): Tensor2D {
  const { classifier, stem, stages } = network;
  const layers = [...stem, ...stages.flatMap((stage) => [...stage.layers, ...stage.transition]), ...classifier.head];
  const map = mode.releasesMaps ? applyReleasing(tf, layers, mode, images) : applyLayers(tf, layers, mode, images);
  const features = tf.mean<Tensor2D>(map, [1, 2]);
  const weight = mode.tensor(`${classifier.name}.weight`) as Tensor2D; // (classes, features)
  return tf.add(tf.matMul(features, weight, false, true), mode.tensor(`${classifier.name}.bias`));
}

/** Keeps only two feature maps in memory at a time. */
function applyReleasing(tf: TensorFlow, layers: readonly Layer[], mode: ForwardMode, images: Tensor4D): Tensor4D {
  let map = images;
  for (const layer of layers) {
    const next = tf.tidy(() => applyLayer(tf, layer, mode, map));
    map.dispose();
    map = next;
  }
  return map;
}

function applyLayers(tf: TensorFlow, layers: readonly Layer[], mode: ForwardMode, x: Tensor4D): Tensor4D {
  return layers.reduce((map, layer) => applyLayer(tf, layer, mode, map), x);
}

function applyLayer(tf: TensorFlow, layer: Layer, mode: ForwardMode, x: Tensor4D): Tensor4D {
  switch (layer.op) {
    case 'conv':
      return convolve(tf, layer, mode.tensor(`${layer.name}.weight`) as Tensor4D, x);
    case 'batchNorm':
      return mode.batchNorm(layer, x);
    case 'relu':
      return mode.relu(x);
    case 'residual':
      return tf.add(applyLayers(tf, layer.body, mode, x), applyLayers(tf, layer.shortcut, mode, x));
    case 'denseConcat': {
      const fresh = applyLayers(tf, layer.body, mode, x);
      return tf.concat(layer.first === 'new' ? [fresh, x] : [x, fresh], 3);
    }
    case 'maxPool':
    case 'avgPool':
      return pool(tf, layer, x);
    case 'subsamplePad':
      return subsamplePad(tf, layer, x);
  }
}

/** TensorFlow's "same" pads after the image only where the stride is 2; PyTorch pads all sides alike. */
function convolve(tf: TensorFlow, layer: Conv, weight: Tensor4D, x: Tensor4D): Tensor4D {
  const { kernel, stride, padding } = layer;
  if (padding === 0) return tf.conv2d(x, weight, stride, 'valid');
  if (stride === 1 && 2 * padding === kernel - 1) return tf.conv2d(x, weight, 1, 'same');
  return tf.conv2d(padSides(tf, x, padding, 0), weight, stride, 'valid');
}

function pool(tf: TensorFlow, { op, kernel, stride, padding }: Pool, x: Tensor4D): Tensor4D {
  if (op === 'avgPool') return tf.avgPool(padSides(tf, x, padding, 0), kernel, stride, 'valid');
  // PyTorch pads a maximum with -Infinity, which arithmetic on padding could turn into NaN.
  return tf.maxPool(padSides(tf, x, padding, -3e38), kernel, stride, 'valid');
}

function padSides(tf: TensorFlow, x: Tensor4D, padding: number, value: number): Tensor4D {
  const sides: [number, number] = [padding, padding];
  return padding === 0 ? x : tf.pad(x, [[0, 0], sides, sides, [0, 0]], value);
}

/** A pooling over single cells takes every second row and column; `stridedSlice` has no gradient. */
function subsamplePad(tf: TensorFlow, { stride, before, after }: SubsamplePad, x: Tensor4D): Tensor4D {
  const some = tf.avgPool(x, 1, stride, 'valid');
  return tf.pad(some, [
    [0, 0],
    [0, 0],
    [0, 0],
    [before, after],
  ]);
}

/** A batch norm in evaluation mode. */
export function normaliseByRunningStatistics(
  tf: TensorFlow,
  { name }: BatchNorm,
  tensor: (name: string) => Tensor,
  x: Tensor4D,
  epsilon: number,
): Tensor4D {
  const [weight, bias, mean, variance] = (['weight', 'bias', 'running_mean', 'running_var'] as const).map(
    (part) => tensor(`${name}.${part}`) as Tensor1D,
  );
  return tf.batchNorm4d(x, mean!, variance!, bias!, weight!, epsilon);
}

/** PyTorch's default, used by all reference networks. */
export const EPSILON = 1e-5;

/** A batch norm in training mode: its output and the statistics of the batch. */
export interface Normalised {
  readonly y: Tensor4D;
  /** (channels), kept: the caller disposes of it. */
  readonly mean: Tensor;
  /** (channels), of the batch with Bessel's correction, as PyTorch's running variance takes it; kept. */
  readonly variance: Tensor;
}

/** Operations whose gradients TensorFlow.js can compute faster than its automatic differentiation does. */
export interface TrainingKernels {
  /** Normalises each channel over images, rows and columns. @param x (images, height, width, channels) */
  batchNorm(x: Tensor4D, gamma: Tensor1D, beta: Tensor1D): Normalised;
  relu(x: Tensor4D): Tensor4D;
}

/** The fastest kernels that a backend has. */
export function trainingKernels({ tf, isNode }: TensorFlowBackend): TrainingKernels {
  return isNode ? nodeKernels(tf) : coreKernels(tf);
}

/** Core operations, for any backend: a third of the time of differentiating `moments` and `batchNorm`. */
function coreKernels(tf: TensorFlow): TrainingKernels {
  return {
    relu: (x) => tf.relu(x),
    batchNorm(x, gamma, beta) {
      let statistics: Omit<Normalised, 'y'> | undefined;
      const apply = tf.customGrad((...inputs) => {
        const [x, gamma, beta, save] = inputs as [Tensor4D, Tensor1D, Tensor1D, GradSaveFunc];
        const count = x.size / x.shape[3];
        const mean = tf.mean(x, [0, 1, 2]);
        const centred = tf.sub(x, mean);
        const variance = tf.mean(tf.square(centred), [0, 1, 2]);
        const inverse = tf.rsqrt(tf.add(variance, EPSILON));
        statistics = { mean: tf.keep(mean), variance: tf.keep(tf.mul(variance, count / Math.max(1, count - 1))) };
        save([centred, gamma, inverse]);
        const value = tf.add(tf.mul(centred, tf.mul(gamma, inverse)), beta);
        return { value, gradFunc: (dy, saved) => batchNormGradient(tf, dy, saved, count) };
      });
      const y = apply(x, gamma, beta) as Tensor4D;
      return { y, ...statistics! };
    },
  };
}

/** dx = gamma inverse (dy - mean(dy) - centred inverse^2 mean(dy centred)), and the gradients of gamma and beta. */
function batchNormGradient(tf: TensorFlow, dy: Tensor, saved: Tensor[], count: number): Tensor[] {
  const [centred, gamma, inverse] = saved as [Tensor, Tensor, Tensor];
  const beta = tf.sum(dy, [0, 1, 2]);
  const product = tf.mul(tf.sum(tf.mul(dy, centred), [0, 1, 2]), inverse);
  const factor = tf.mul(gamma, inverse);
  const along = tf.mul(centred, tf.div(tf.mul(inverse, product), count));
  return [tf.mul(tf.sub(tf.sub(dy, tf.div(beta, count)), along), factor), product, beta];
}

interface Attribute {
  readonly name: string;
  readonly type: number;
  readonly value: unknown;
}

/** The part of tfjs-node's backend that calls TensorFlow's kernels by name. */
interface NodeBackend {
  readonly binding: Readonly<
    Record<'TF_ATTR_TYPE' | 'TF_ATTR_FLOAT' | 'TF_ATTR_STRING' | 'TF_ATTR_BOOL' | 'TF_FLOAT', number>
  >;
  executeSingleOutput(operation: string, attributes: readonly Attribute[], inputs: readonly Tensor[]): Tensor;
  executeMultipleOutputs(
    operation: string,
    attributes: readonly Attribute[],
    inputs: readonly Tensor[],
    outputs: number,
  ): Tensor[];
}

/** TensorFlow's own training kernels, through tfjs-node. */
function nodeKernels(tf: TensorFlow): TrainingKernels {
  const backend = tf.backend() as unknown as NodeBackend;
  const { binding } = backend;
  const float = (name: string): Attribute => ({ name, type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT });
  const normAttributes: readonly Attribute[] = [
    float('T'),
    float('U'),
    { name: 'epsilon', type: binding.TF_ATTR_FLOAT, value: EPSILON },
    { name: 'data_format', type: binding.TF_ATTR_STRING, value: 'NHWC' },
    { name: 'is_training', type: binding.TF_ATTR_BOOL, value: true },
  ];
  const relu = tf.customGrad((...inputs) => {
    const [x, save] = inputs as [Tensor4D, GradSaveFunc];
    const y = tf.relu(x);
    save([y]);
    return {
      value: y,
      gradFunc: (dy: Tensor, [y]: Tensor[]) => backend.executeSingleOutput('ReluGrad', [float('T')], [dy, y!]),
    };
  });
  return {
    relu: (x) => relu(x) as Tensor4D,
    batchNorm(x, gamma, beta) {
      let statistics: Omit<Normalised, 'y'> | undefined;
      const apply = tf.customGrad((...inputs) => {
        const [x, gamma, beta, save] = inputs as [Tensor4D, Tensor1D, Tensor1D, GradSaveFunc];
        const none = tf.tensor1d([], 'float32'); // no running statistics go in while training
        const operands = [x, gamma, beta, none, none];
        const outputs = backend.executeMultipleOutputs('FusedBatchNormV3', normAttributes, operands, 6);
        const [y, mean, variance, ...reserved] = outputs as [Tensor4D, Tensor, Tensor, ...Tensor[]];
        statistics = { mean: tf.keep(mean), variance: tf.keep(variance) };
        save([x, gamma, ...reserved]);
        return {
          value: y,
          gradFunc: (dy: Tensor, saved: Tensor[]) =>
            backend.executeMultipleOutputs('FusedBatchNormGradV3', normAttributes, [dy, ...saved], 5).slice(0, 3),
        };
      });
      const y = apply(x, gamma, beta) as Tensor4D;
      return { y, ...statistics! };
    },
  };
}
