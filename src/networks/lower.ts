import type { Tensor, TensorMap } from '../tensor.js';
import type { BatchNorm, Conv, Layer, Network, Pool, SubsamplePad } from './network.js';

/** A layer with its weights, as engines read it: batch norm is folded into the convolution before it, ReLU attached. */
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
  /** x * scale + shift for each channel: a batch norm that no convolution precedes. */
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

/** Joins a network with its weights. @param tensors those of `networkTensors(network)`, checked by `matchTensors` */
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
    } else if (layer.op === 'conv') {
      const norm = next?.op === 'batchNorm' ? next : undefined;
      lowered.push(lowerConv(layer, norm, tensors));
      if (norm !== undefined) index++;
    } else {
      lowered.push(lowerLayer(layer, tensors));
    }
  }
  return lowered;
}

/** A convolution with the batch norm behind it. */
function lowerConv({ name, out, stride, padding }: Conv, norm: BatchNorm | undefined, tensors: TensorMap): Lowered {
  const weight = tensor(tensors, `${name}.weight`);
  if (norm === undefined) {
    const bias = { shape: [out], data: new Float32Array(out) };
    return { op: 'conv', name, weight, bias, stride, padding, relu: false };
  }
  const { scale, shift: bias } = scaleAndShift(norm, tensors);
  const scaled = { shape: weight.shape, data: scaledRows(weight.data, scale.data) };
  return { op: 'conv', name, weight: scaled, bias, stride, padding, relu: false };
}

function lowerLayer(layer: Exclude<Layer, { op: 'relu' | 'conv' }>, tensors: TensorMap): Lowered {
  switch (layer.op) {
    case 'batchNorm':
      return { op: 'scale', name: layer.name, ...scaleAndShift(layer, tensors), relu: false };
    case 'residual': {
      const [body, shortcut] = [lowerLayers(layer.body, tensors), lowerLayers(layer.shortcut, tensors)];
      return { op: 'residual', body, shortcut, relu: false };
    }
    case 'denseConcat':
      return { op: 'denseConcat', first: layer.first, body: lowerLayers(layer.body, tensors) };
    case 'maxPool':
    case 'avgPool':
    case 'subsamplePad':
      return layer;
  }
}

function scaleAndShift(layer: BatchNorm, tensors: TensorMap): { scale: Tensor; shift: Tensor } {
  const part = (name: string): Float32Array => tensor(tensors, `${layer.name}.${name}`).data;
  const [gamma, beta, mean, variance] = [part('weight'), part('bias'), part('running_mean'), part('running_var')];
  const { scale, shift } = normScaleAndShift({ gamma, beta, mean, variance }, EPSILON);
  return { scale: { shape: [layer.channels], data: scale }, shift: { shape: [layer.channels], data: shift } };
}

/** A batch norm as x * scale + shift, computed in double precision. @param bias of the layer before it */
export function normScaleAndShift(
  { gamma, beta, mean, variance }: Readonly<Record<'gamma' | 'beta' | 'mean' | 'variance', Float32Array>>,
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

/** Weights [out, ...] times scale [out]. */
export function scaledRows(weight: Float32Array, scale: Float32Array): Float32Array {
  const perRow = weight.length / scale.length;
  const scaled = new Float32Array(weight.length);
  for (let row = 0; row < scale.length; row++) {
    const factor = scale[row]!;
    for (let i = row * perRow; i < (row + 1) * perRow; i++) scaled[i] = weight[i]! * factor;
  }
  return scaled;
}
