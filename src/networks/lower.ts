import type { Tensor, TensorMap } from '../tensor.js';
import type { BatchNorm, Conv, Layer, Network, Pool, SubsamplePad } from './network.js';

/**
 * A layer with its weights, ready to run: batch norm folded into the convolution before it, ReLU attached to the layer before
 * it. Every engine reads this form.
 */
export type Lowered =
  | {
      readonly op: 'conv';
      readonly name: string;
      /** [out, in, kernel, kernel] */
      readonly weight: Tensor;
      /** [out] */
      readonly bias: Tensor;
      readonly stride: number;
      readonly padding: number;
      readonly relu: boolean;
    }
  /** x * scale + shift per channel: a batch norm without a convolution before it. */
  | {
      readonly op: 'scale';
      readonly name: string;
      readonly scale: Tensor;
      readonly shift: Tensor;
      readonly relu: boolean;
    }
  | { readonly op: 'relu' }
  | Pool
  | {
      readonly op: 'residual';
      readonly body: readonly Lowered[];
      readonly shortcut: readonly Lowered[];
      readonly relu: boolean;
    }
  | { readonly op: 'denseConcat'; readonly body: readonly Lowered[]; readonly first: 'input' | 'new' }
  | SubsamplePad;

export interface LoweredNetwork {
  readonly network: Network;
  readonly stem: readonly Lowered[];
  readonly stages: readonly { readonly layers: readonly Lowered[]; readonly transition: readonly Lowered[] }[];
  readonly head: readonly Lowered[];
  /** Classifier weight [classes, features] and bias [classes]. */
  readonly weight: Tensor;
  readonly bias: Tensor;
}

/** Epsilon of batch norms: PyTorch's default, used by all reference networks. */
export const EPSILON = 1e-5;

/**
 * Joins a network's description with its weights.
 *
 * @param tensors the tensors of `networkTensors(network)` by name, shapes checked (`matchTensors`)
 */
export function lowerNetwork(network: Network, tensors: TensorMap): LoweredNetwork {
  const lower = (layers: readonly Layer[]): Lowered[] => lowerLayers(layers, tensors);
  return {
    network,
    stem: lower(network.stem),
    stages: network.stages.map((stage) => ({ layers: lower(stage.layers), transition: lower(stage.transition) })),
    head: lower(network.classifier.head),
    weight: tensor(tensors, `${network.classifier.name}.weight`),
    bias: tensor(tensors, `${network.classifier.name}.bias`),
  };
}

function tensor(tensors: TensorMap, name: string): Tensor {
  const found = tensors.get(name);
  if (found === undefined) throw new Error(`tensor ${name} is missing`);
  return found;
}

function lowerLayers(layers: readonly Layer[], tensors: TensorMap): Lowered[] {
  const lowered: Lowered[] = [];
  for (let index = 0; index < layers.length; index++) {
    const layer = layers[index]!;
    const next = layers[index + 1];
    if (layer.op === 'relu') {
      const previous = lowered.at(-1);
      if (previous !== undefined && 'relu' in previous) lowered[lowered.length - 1] = { ...previous, relu: true };
      else lowered.push(layer);
    } else if (layer.op === 'conv' && next?.op === 'batchNorm') {
      lowered.push(foldConv(layer, next, tensors));
      index++;
    } else {
      lowered.push(lowerLayer(layer, tensors));
    }
  }
  return lowered;
}

function lowerLayer(layer: Exclude<Layer, { op: 'relu' }>, tensors: TensorMap): Lowered {
  switch (layer.op) {
    case 'conv':
      return {
        op: 'conv',
        name: layer.name,
        weight: tensor(tensors, `${layer.name}.weight`),
        bias: { shape: [layer.out], data: new Float32Array(layer.out) },
        stride: layer.stride,
        padding: layer.padding,
        relu: false,
      };
    case 'batchNorm':
      return { op: 'scale', name: layer.name, ...scaleAndShift(layer, tensors), relu: false };
    case 'residual':
      return {
        op: 'residual',
        body: lowerLayers(layer.body, tensors),
        shortcut: lowerLayers(layer.shortcut, tensors),
        relu: false,
      };
    case 'denseConcat':
      return { op: 'denseConcat', first: layer.first, body: lowerLayers(layer.body, tensors) };
    case 'maxPool':
    case 'avgPool':
    case 'subsamplePad':
      return layer;
  }
}

/** Batch norm in evaluation mode as x * scale + shift. */
function scaleAndShift(layer: BatchNorm, tensors: TensorMap): { scale: Tensor; shift: Tensor } {
  const part = (name: string): Float32Array => tensor(tensors, `${layer.name}.${name}`).data;
  const [gamma, beta, mean, variance] = [part('weight'), part('bias'), part('running_mean'), part('running_var')];
  const { scale, shift } = normScaleAndShift({ gamma, beta, mean, variance }, EPSILON);
  return { scale: { shape: [layer.channels], data: scale }, shift: { shape: [layer.channels], data: shift } };
}

/** A batch norm's parameters and statistics, a number for each channel. */
interface NormNumbers {
  readonly gamma: Float32Array;
  readonly beta: Float32Array;
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/**
 * A batch norm as x * scale + shift, computed in double precision.
 *
 * @param bias the bias of the layer before it
 */
export function normScaleAndShift(
  { gamma, beta, mean, variance }: NormNumbers,
  epsilon: number,
  bias?: Float32Array,
): { scale: Float32Array; shift: Float32Array } {
  const scale = new Float32Array(gamma.length);
  const shift = new Float32Array(gamma.length);
  for (let c = 0; c < gamma.length; c++) {
    const factor = gamma[c]! / Math.sqrt(variance[c]! + epsilon);
    scale[c] = factor;
    shift[c] = beta[c]! - (mean[c]! - (bias?.[c] ?? 0)) * factor;
  }
  return { scale, shift };
}

/** Weights [out, ...] with the row of each output multiplied by its scale. */
export function scaledRows(weight: Float32Array, scale: Float32Array): Float32Array {
  const perRow = weight.length / scale.length;
  const scaled = new Float32Array(weight.length);
  for (let row = 0; row < scale.length; row++) {
    const factor = scale[row]!;
    for (let i = row * perRow; i < (row + 1) * perRow; i++) scaled[i] = weight[i]! * factor;
  }
  return scaled;
}

function foldConv(layer: Conv, norm: BatchNorm, tensors: TensorMap): Lowered {
  const { scale, shift } = scaleAndShift(norm, tensors);
  const weight = tensor(tensors, `${layer.name}.weight`);
  return {
    op: 'conv',
    name: layer.name,
    weight: { shape: weight.shape, data: scaledRows(weight.data, scale.data) },
    bias: shift,
    stride: layer.stride,
    padding: layer.padding,
    relu: false,
  };
}
