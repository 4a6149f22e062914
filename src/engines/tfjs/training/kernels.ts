import type { GradSaveFunc, Tensor, Tensor1D, Tensor4D } from '@tensorflow/tfjs';
import { EPSILON } from '../../../networks/lower.js';
import type { TensorFlow, TensorFlowBackend } from '../backend.js';

/** A batch norm in training mode: its output and the statistics of the batch. */
export interface Normalised {
  readonly y: Tensor4D;
  /** [channels], kept: the caller disposes of it. */
  readonly mean: Tensor;
  /** [channels], with Bessel's correction as in PyTorch's running variance; kept. */
  readonly variance: Tensor;
}

/** Operations with faster gradients than TensorFlow.js derives. */
interface TrainingKernels {
  /** Normalises each channel over images, rows and columns. @param x [images, height, width, channels] */
  batchNorm(x: Tensor4D, gamma: Tensor1D, beta: Tensor1D): Normalised;
  relu(x: Tensor4D): Tensor4D;
}

export function trainingKernels({ tf, isNode }: TensorFlowBackend): TrainingKernels {
  return isNode ? nodeKernels(tf) : coreKernels(tf);
}

interface Computed extends Omit<Normalised, 'y'> {
  readonly value: Tensor;
  readonly gradFunc: (dy: Tensor, saved: Tensor[]) => Tensor[];
}

/** A batch norm from a function that computes it and saves what its gradient needs. */
function batchNormOf(
  tf: TensorFlow,
  compute: (x: Tensor4D, gamma: Tensor1D, beta: Tensor1D, save: GradSaveFunc) => Computed,
): TrainingKernels['batchNorm'] {
  return (x, gamma, beta) => {
    let statistics: Omit<Normalised, 'y'> | undefined;
    const apply = tf.customGrad((...inputs) => {
      const { mean, variance, ...result } = compute(...(inputs as [Tensor4D, Tensor1D, Tensor1D, GradSaveFunc]));
      statistics = { mean: tf.keep(mean), variance: tf.keep(variance) };
      return result;
    });
    const y = apply(x, gamma, beta) as Tensor4D;
    return { y, ...statistics! };
  };
}

/** Core operations, for any backend: a third of the time of differentiating `moments` and `batchNorm`. */
function coreKernels(tf: TensorFlow): TrainingKernels {
  return {
    relu: (x) => tf.relu(x),
    batchNorm: batchNormOf(tf, (x, gamma, beta, save) => {
      const count = x.size / x.shape[3];
      const mean = tf.mean(x, [0, 1, 2]);
      const centred = tf.sub(x, mean);
      const variance = tf.mean(tf.square(centred), [0, 1, 2]);
      const inverse = tf.rsqrt(tf.add(variance, EPSILON));
      save([centred, gamma, inverse]);
      return {
        mean,
        variance: tf.mul(variance, count / Math.max(1, count - 1)),
        value: tf.add(tf.mul(centred, tf.mul(gamma, inverse)), beta),
        gradFunc: (dy, saved) => batchNormGradient(tf, dy, saved, count),
      };
    }),
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

type AttributeType = 'TF_ATTR_TYPE' | 'TF_ATTR_FLOAT' | 'TF_ATTR_STRING' | 'TF_ATTR_BOOL' | 'TF_FLOAT';

/** The part of tfjs-node's backend that calls TensorFlow's kernels by name. */
interface NodeBackend {
  readonly binding: Readonly<Record<AttributeType, number>>;
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
    const value = tf.relu(x);
    save([value]);
    const gradFunc = (dy: Tensor, [y]: Tensor[]) => backend.executeSingleOutput('ReluGrad', [float('T')], [dy, y!]);
    return { value, gradFunc };
  });
  return {
    relu: (x) => relu(x) as Tensor4D,
    batchNorm: batchNormOf(tf, (x, gamma, beta, save) => {
      const none = tf.tensor1d([], 'float32'); // training reads no running statistics
      const operands = [x, gamma, beta, none, none];
      const outputs = backend.executeMultipleOutputs('FusedBatchNormV3', normAttributes, operands, 6);
      const [value, mean, variance, ...reserved] = outputs as [Tensor, Tensor, Tensor, ...Tensor[]];
      save([x, gamma, ...reserved]);
      return {
        mean,
        variance,
        value,
        gradFunc: (dy, saved) =>
          backend.executeMultipleOutputs('FusedBatchNormGradV3', normAttributes, [dy, ...saved], 5).slice(0, 3),
      };
    }),
  };
}
