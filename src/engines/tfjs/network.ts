import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import type { Lowered, LoweredNetwork } from '../../networks/lower.js';
import { type BatchNorm, type Layer, type MapShape, type Pool, stageShapes } from '../../networks/network.js';
import type { GatePlace, Pooling } from '../../networks/onnx.js';
import type { NetworkOutputs } from '../../onnx/network.js';
import type { TensorFlow } from './backend.js';

/** How layers are applied: lowered ones for inference, described ones for training. */
export interface LayerMode {
  /** A tensor by its name; convolutions as [kernel, kernel, in, out]. */
  tensor(name: string): Tensor;
  batchNorm(layer: BatchNorm, x: Tensor4D): Tensor4D;
  relu(x: Tensor4D): Tensor4D;
  /** Whether a map is freed once the next one is computed; gradients need all maps. */
  readonly releasesMaps: boolean;
}

type AnyLayer = Layer | Lowered;
type OfOp<Op extends AnyLayer['op']> = Extract<AnyLayer, { op: Op }>;
type Sides = [number, number];
const NONE: Sides = [0, 0];
const CHANNELS = 3;

/** Applies layers in sequence. @param x [batch, height, width, channels], not freed */
export function applyLayers(tf: TensorFlow, layers: readonly AnyLayer[], mode: LayerMode, x: Tensor4D): Tensor4D {
  let value = x;
  for (const layer of layers) {
    const next = mode.releasesMaps
      ? tf.tidy(() => applyLayer(tf, layer, mode, value))
      : applyLayer(tf, layer, mode, value);
    if (mode.releasesMaps && value !== x) value.dispose();
    value = next;
  }
  return value;
}

function applyLayer(tf: TensorFlow, layer: AnyLayer, mode: LayerMode, x: Tensor4D): Tensor4D {
  const within = (layers: readonly AnyLayer[]): Tensor4D => applyLayers(tf, layers, mode, x);
  switch (layer.op) {
    case 'conv':
      return convolve(tf, layer, mode, x);
    case 'batchNorm':
      return mode.batchNorm(layer, x);
    case 'scale': {
      // x * scale + shift as a batch norm with mean 0 and variance 1: one kernel instead of two.
      const parts = ['mean', 'variance', 'shift', 'scale'].map((part) => mode.tensor(`${layer.name}.${part}`));
      const [mean, variance, shift, scale] = parts as [Tensor1D, Tensor1D, Tensor1D, Tensor1D];
      const y = tf.batchNorm4d(x, mean, variance, shift, scale, 0);
      return layer.relu ? mode.relu(y) : y;
    }
    case 'relu':
      return mode.relu(x);
    case 'residual': {
      const sum = tf.add<Tensor4D>(within(layer.body), within(layer.shortcut));
      return 'relu' in layer && layer.relu ? mode.relu(sum) : sum;
    }
    case 'denseConcat': {
      const fresh = within(layer.body);
      return tf.concat(layer.first === 'input' ? [x, fresh] : [fresh, x], CHANNELS);
    }
    case 'maxPool':
    case 'avgPool':
      return pool(tf, layer, x);
    case 'subsamplePad': {
      const { stride, before, after } = layer;
      // `stridedSlice` has no gradient; a pooling over single cells is the same.
      const rows = mode.releasesMaps
        ? (tf.stridedSlice(x, [0, 0, 0, 0], x.shape, [1, stride, stride, 1]) as Tensor4D)
        : tf.avgPool(x, 1, stride, 'valid');
      return tf.pad(rows, [NONE, NONE, NONE, [before, after]]);
    }
  }
}

/** PyTorch pads all sides alike; TensorFlow's "same" does so at stride 1 only. */
function convolve(tf: TensorFlow, layer: OfOp<'conv'>, mode: LayerMode, x: Tensor4D): Tensor4D {
  const { name, stride, padding } = layer;
  const filter = mode.tensor(`${name}.weight`) as Tensor4D;
  const isSame = stride === 1 && filter.shape[0] === 2 * padding + 1;
  const simple = padding === 0 ? 'valid' : isSame ? 'same' : undefined;
  if (!('weight' in layer)) {
    return tf.conv2d(simple === undefined ? padSides(tf, x, padding, 0) : x, filter, stride, simple ?? 'valid');
  }
  const sides: Sides = [padding, padding];
  const pad = simple ?? ([NONE, sides, sides, NONE] as [Sides, Sides, Sides, Sides]);
  const bias = mode.tensor(`${name}.bias`);
  const activation = layer.relu ? { activation: 'relu' as const } : {};
  return tf.fused.conv2d({ x, filter, strides: stride, pad, bias, ...activation });
}

function pool(tf: TensorFlow, { op, kernel, stride, padding }: Pool, x: Tensor4D): Tensor4D {
  if (op === 'avgPool') return tf.avgPool(padSides(tf, x, padding, 0), kernel, stride, 'valid');
  // Padded here, since the backends' poolings take different paddings; with a finite number, since WebGPU has no infinities.
  return tf.maxPool(padSides(tf, x, padding, -3e38), kernel, stride, 'valid');
}

function padSides(tf: TensorFlow, x: Tensor4D, padding: number, value: number): Tensor4D {
  const sides: Sides = [padding, padding];
  return padding === 0 ? x : tf.pad(x, [NONE, sides, sides, NONE], value);
}

/** Images [count, channels, height, width] as a map [count, height, width, channels]. */
export function imageMap(tf: TensorFlow, images: Float32Array, count: number, of: MapShape): Tensor4D {
  const shape = [count, of.channels, of.height, of.width] as const;
  return tf.tidy(() => tf.transpose(tf.tensor4d(images, [...shape]), [0, 2, 3, 1]));
}

/** Applies a function to a map and frees the map. */
export function replace(x: Tensor4D, step: (x: Tensor4D) => Tensor4D): Tensor4D {
  const y = step(x);
  if (y !== x) x.dispose();
  return y;
}

export type DeviceNetwork = ReturnType<typeof deviceNetwork>;

/** A network with its weights on the device, in TensorFlow's layout. */
export function deviceNetwork(tf: TensorFlow, lowered: LoweredNetwork) {
  const { stem, stages, head, network } = lowered;
  const kept: Tensor[] = [];
  /** Makes a tensor that lives until the network is closed. */
  const keep = <R extends Rank>(make: () => Tensor<R>): Tensor<R> => {
    const tensor = tf.keep(tf.tidy(make));
    kept.push(tensor);
    return tensor;
  };
  const all = [...stem, ...stages.flatMap(({ layers, transition }) => [...layers, ...transition]), ...head];
  const tensors = new Map([...layerTensors(tf, all)].map(([name, make]) => [name, keep(make)]));
  const weight = keep(() => tf.tensor2d(lowered.weight.data, lowered.weight.shape as [number, number])); // [classes, features]
  const bias = keep(() => tf.tensor1d(lowered.bias.data));
  const mode: LayerMode = {
    tensor: (name) => tensors.get(name)!,
    relu: (x) => tf.relu(x),
    batchNorm: ({ name }) => {
      throw new Error(`${name}: not lowered`);
    },
    releasesMaps: true,
  };
  /** Applies layers to a map, which is not freed. */
  const apply = (layers: readonly Lowered[], x: Tensor4D): Tensor4D => applyLayers(tf, layers, mode, x);
  /** Logits [batch, classes] of the last stage's map, which is not freed. */
  const classify = (x: Tensor4D): Tensor2D =>
    tf.add(tf.matMul(tf.mean<Tensor2D>(apply(head, x), [1, 2]), weight, false, true), bias);
  return {
    tf,
    lowered,
    keep,
    apply,
    classify,
    images: (images: Float32Array, count: number): Tensor4D => imageMap(tf, images, count, network.input),
    dispose: (): void => tf.dispose(kept),
    /** The features of gates, [batch, features] each, then, unless only features are wanted, the logits. */
    outputs(images: Tensor4D, places: readonly GatePlace[], wanted: NetworkOutputs): Tensor2D[] {
      const shapes = stageShapes(network);
      const last = wanted === 'features' ? Math.max(...places.map(({ stage }) => stage)) : stages.length;
      const found: Tensor2D[] = [];
      let value = replace(images, (x) => apply(stem, x));
      stages.slice(0, last).forEach(({ layers, transition }, index) => {
        const end = replace(value, (x) => apply(layers, x));
        for (const { stage, pooling } of places) {
          if (stage === index + 1) found.push(poolFeatures(tf, end, pooling, shapes[index]!));
        }
        value = replace(end, (x) => apply(transition, x));
      });
      return wanted === 'features' ? found : [...found, classify(value)];
    },
  };
}

/** What makes each tensor of the layers, by name. */
function* layerTensors(tf: TensorFlow, layers: readonly Lowered[]): Generator<[name: string, make: () => Tensor]> {
  for (const layer of layers) {
    if (layer.op === 'conv') {
      const shape = layer.weight.shape as [number, number, number, number];
      // [out, in, height, width] to [height, width, in, out]
      yield [`${layer.name}.weight`, () => tf.transpose(tf.tensor4d(layer.weight.data, shape), [2, 3, 1, 0])];
      yield [`${layer.name}.bias`, () => tf.tensor1d(layer.bias.data)];
    } else if (layer.op === 'scale') {
      const { data } = layer.scale;
      yield [`${layer.name}.scale`, () => tf.tensor1d(data)];
      yield [`${layer.name}.shift`, () => tf.tensor1d(layer.shift.data)];
      yield [`${layer.name}.mean`, () => tf.zeros([data.length])];
      yield [`${layer.name}.variance`, () => tf.ones([data.length])];
    }
    if ('body' in layer) yield* layerTensors(tf, layer.body);
    if ('shortcut' in layer) yield* layerTensors(tf, layer.shortcut);
  }
}

/** A gate's features [batch, features], ordered channel, row, column as in the ONNX graph. */
export function poolFeatures(tf: TensorFlow, x: Tensor4D, pooling: Pooling, { height, width }: MapShape): Tensor2D {
  if (pooling.kind !== 'grid') return tf.mean(x, [1, 2]);
  const cell: [number, number] = [height / pooling.size, width / pooling.size];
  return tf.tidy(() => {
    const cells = tf.transpose(tf.avgPool(x, cell, cell, 'valid'), [0, 3, 1, 2]); // [batch, channels, rows, columns]
    return tf.reshape(cells, [x.shape[0], -1]);
  });
}
