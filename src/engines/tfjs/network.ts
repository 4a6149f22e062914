import type { Rank, Tensor, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { Lowered, LoweredNetwork } from '../../networks/lower.js';
import { type MapShape, stageShapes } from '../../networks/network.js';
import type { GatePlace, Pooling } from '../../networks/onnx.js';
import type { NetworkOutputs } from '../../onnx/loaded.js';
import type { TensorFlow } from './backend.js';

/** [batch, height, width, channels] to the same; weights are on the device already. */
export type Step = (x: Tensor4D) => Tensor4D;
/** Makes a tensor that lives until the network is closed. */
export type Keep = <R extends Rank>(make: () => Tensor<R>) => Tensor<R>;

/** A network on the device, to be run part by part. */
export interface DeviceParts {
  /** @param images [batch, channels, height, width] */
  readonly stem: (images: Tensor4D) => Tensor4D;
  /** Without a transition, `transition` returns its argument. */
  readonly stages: readonly { readonly layers: Step; readonly transition: Step }[];
  /** The original classifier: from the last stage's output to logits [batch, classes]. */
  readonly classifier: (x: Tensor4D) => Tensor2D;
  /** For weights of gates. */
  readonly keep: Keep;
  dispose(): void;
}

/** Puts a network's weights on the device, in TensorFlow's layout. */
export function deviceParts(tf: TensorFlow, lowered: LoweredNetwork): DeviceParts {
  const weights: Tensor[] = [];
  const keep: Keep = (make) => {
    const tensor = tf.keep(tf.tidy(make));
    weights.push(tensor);
    return tensor;
  };
  const prepare = (layers: readonly Lowered[]): Step => sequence(tf, layers, keep);
  const stem = prepare(lowered.stem);
  const stages = lowered.stages.map(({ layers, transition }) => ({
    layers: prepare(layers),
    transition: prepare(transition),
  }));
  const head = prepare(lowered.head);
  const classify = linear(tf, lowered, keep);
  return {
    stem: (images) => stem(tf.transpose(images, [0, 2, 3, 1])),
    stages,
    classifier: (x) => classify(tf.mean(head(x), [1, 2])),
    keep,
    dispose: () => tf.dispose(weights),
  };
}

/** A network on the device, to be run batch by batch. */
export interface DeviceNetwork {
  /** @param images [batch, channels, height, width] */
  run(images: Tensor4D): { readonly features: Tensor2D[]; readonly logits?: Tensor2D };
  dispose(): void;
}

/** A network that returns the features of gates and, unless only features are requested, its logits. */
export function deviceNetwork(
  tf: TensorFlow,
  lowered: LoweredNetwork,
  places: readonly GatePlace[],
  wanted: NetworkOutputs = 'features and logits',
): DeviceNetwork {
  const { stem, stages, classifier, dispose } = deviceParts(tf, lowered);
  const shapes = stageShapes(lowered.network);
  return {
    run(images) {
      const features: Tensor2D[] = [];
      let value = stem(images);
      const last = wanted === 'features' ? Math.max(...places.map(({ stage }) => stage)) : stages.length;
      stages.slice(0, last).forEach(({ layers, transition }, index) => {
        const end = replace(value, layers);
        for (const { stage, pooling } of places) {
          if (stage === index + 1) features.push(pool(tf, end, pooling, shapes[index]!));
        }
        value = replace(end, transition);
      });
      return wanted === 'features' ? { features } : { features, logits: classifier(value) };
    },
    dispose,
  };
}

/** Applies a step and frees its input. */
export function replace(x: Tensor4D, step: Step): Tensor4D {
  const y = step(x);
  if (y !== x) x.dispose();
  return y;
}

/** Layers in sequence; intermediate values are freed at once, so that a deep network needs little memory. */
function sequence(tf: TensorFlow, layers: readonly Lowered[], keep: Keep): Step {
  const steps = layers.map((layer) => prepareLayer(tf, layer, keep));
  return (x) => {
    let value = x;
    for (const step of steps) {
      const next = tf.tidy(() => step(value));
      if (value !== x) value.dispose();
      value = next;
    }
    return value;
  };
}

function prepareLayer(tf: TensorFlow, layer: Lowered, keep: Keep): Step {
  switch (layer.op) {
    case 'conv':
      return convolution(tf, layer, keep);
    case 'scale':
      return scale(tf, layer, keep);
    case 'relu':
      return (x) => tf.relu(x);
    case 'maxPool':
    case 'avgPool':
      return pooling(tf, layer);
    case 'residual': {
      const [body, shortcut] = [sequence(tf, layer.body, keep), sequence(tf, layer.shortcut, keep)];
      const sum: Step = (x) => tf.add(body(x), shortcut(x));
      return layer.relu ? (x) => tf.relu(sum(x)) : sum;
    }
    case 'denseConcat': {
      const body = sequence(tf, layer.body, keep);
      return layer.first === 'input'
        ? (x) => tf.concat([x, body(x)], CHANNELS)
        : (x) => tf.concat([body(x), x], CHANNELS);
    }
    case 'subsamplePad': {
      const { stride, before, after } = layer;
      return (x) => {
        const rows = tf.stridedSlice(x, [0, 0, 0, 0], x.shape, [1, stride, stride, 1]) as Tensor4D;
        return tf.pad(rows, [NONE, NONE, NONE, [before, after]]);
      };
    }
  }
}

const CHANNELS = 3;
const NONE: Sides = [0, 0];

type OfOp<Op extends Lowered['op']> = Extract<Lowered, { op: Op }>;

function convolution(tf: TensorFlow, layer: OfOp<'conv'>, keep: Keep): Step {
  const { stride, padding, relu } = layer;
  const shape = layer.weight.shape as [number, number, number, number];
  // [out, in, height, width] to [height, width, in, out]
  const filter = keep(() => tf.transpose(tf.tensor4d(layer.weight.data, shape), [2, 3, 1, 0]));
  const bias = keep(() => tf.tensor1d(layer.bias.data));
  const pad = convolutionPadding(shape[2], stride, padding);
  return (x) =>
    tf.fused.conv2d({ x, filter, strides: stride, pad, bias, ...(relu && { activation: 'relu' as const }) });
}

type Sides = [number, number];

/** PyTorch pads both sides alike; TensorFlow's "same" does so at stride 1 only. */
function convolutionPadding(
  kernel: number,
  stride: number,
  padding: number,
): 'valid' | 'same' | [Sides, Sides, Sides, Sides] {
  if (padding === 0) return 'valid';
  if (stride === 1 && kernel === 2 * padding + 1) return 'same';
  const sides: Sides = [padding, padding];
  return [NONE, sides, sides, NONE];
}

/** x * scale + shift as a batch norm with mean 0 and variance 1: one kernel instead of two. */
function scale(tf: TensorFlow, layer: OfOp<'scale'>, keep: Keep): Step {
  const [factor, shift] = [keep(() => tf.tensor1d(layer.scale.data)), keep(() => tf.tensor1d(layer.shift.data))];
  const [mean, variance] = [keep(() => tf.zerosLike(factor)), keep(() => tf.onesLike(factor))];
  const norm: Step = (x) => tf.batchNorm4d(x, mean, variance, shift, factor, 0);
  return layer.relu ? (x) => tf.relu(norm(x)) : norm;
}

function pooling(tf: TensorFlow, { op, kernel, stride, padding }: OfOp<'maxPool' | 'avgPool'>): Step {
  if (op === 'avgPool') {
    if (padding !== 0) throw new Error('average pooling with padding: in none of the families');
    return (x) => tf.avgPool(x, kernel, stride, 'valid');
  }
  if (padding === 0) return (x) => tf.maxPool(x, kernel, stride, 'valid');
  const sides: Sides = [padding, padding];
  // The backends differ in the paddings that their poolings take; a finite number, as WebGPU has no infinities.
  return (x) => tf.maxPool(tf.pad(x, [NONE, sides, sides, NONE], -3e38), kernel, stride, 'valid');
}

/** A gate's features [batch, features], ordered channel, row, column as in the ONNX graph. */
function pool(tf: TensorFlow, x: Tensor4D, pooling: Pooling, { height, width }: MapShape): Tensor2D {
  if (pooling.kind !== 'grid') return tf.mean(x, [1, 2]);
  const cell: [number, number] = [height / pooling.size, width / pooling.size];
  return tf.tidy(() => {
    const cells = tf.transpose(tf.avgPool(x, cell, cell, 'valid'), [0, 3, 1, 2]); // [batch, channels, rows, columns]
    return tf.reshape(cells, [x.shape[0], -1]);
  });
}

function linear(tf: TensorFlow, { weight, bias }: LoweredNetwork, keep: Keep): (x: Tensor2D) => Tensor2D {
  const matrix = keep(() => tf.tensor2d(weight.data, weight.shape as [number, number])); // [classes, features]
  const offset = keep(() => tf.tensor1d(bias.data));
  return (x) => tf.add(tf.matMul(x, matrix, false, true), offset);
}
