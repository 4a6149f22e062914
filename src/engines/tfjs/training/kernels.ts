import type { GradSaveFunc, Tensor, Tensor1D, Tensor4D } from '@tensorflow/tfjs';
import type { TensorFlow, TensorFlowBackend } from '../backend.js';

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
