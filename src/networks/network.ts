import type { ImageShape } from '../data/dataset.js';
import { elementCount } from '../tensor.js';

/** Channels x height x width of one image or feature map (PyTorch's CHW). */
export type MapShape = ImageShape;

/** Square convolution; weight `<name>.weight` of shape [out, in, kernel, kernel], no bias in any of our families. */
export interface Conv {
  readonly op: 'conv';
  readonly name: string;
  readonly in: number;
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** Batch norm in evaluation mode, epsilon 1e-5; tensors `<name>.{weight,bias,running_mean,running_var}`. */
export interface BatchNorm {
  readonly op: 'batchNorm';
  readonly name: string;
  readonly channels: number;
}

export interface Pool {
  readonly op: 'maxPool' | 'avgPool';
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** body(x) + shortcut(x); an empty shortcut is the identity. */
export interface Residual {
  readonly op: 'residual';
  readonly body: readonly Layer[];
  readonly shortcut: readonly Layer[];
}

/** Concatenates x and body(x) along the channels. */
export interface DenseConcat {
  readonly op: 'denseConcat';
  readonly body: readonly Layer[];
  /** What comes first: x, or body(x). */
  readonly first: 'input' | 'new';
}

/** He et al.'s option A shortcut: every second row and column, channels padded with zeros. No parameters, no FLOPs. */
export interface SubsamplePad {
  readonly op: 'subsamplePad';
  readonly stride: number;
  readonly before: number;
  readonly after: number;
}

export type Layer = Conv | BatchNorm | { readonly op: 'relu' } | Pool | Residual | DenseConcat | SubsamplePad;

/** One main block. A d-gate sits at the end of `layers`, before the transition (paper, section 2.3). */
export interface Stage {
  readonly name: string;
  readonly layers: readonly Layer[];
  /** DenseNet's transition to the next stage; empty for ResNets. */
  readonly transition: readonly Layer[];
}

/** The original classifier: `head`, global average pooling, then a linear layer. */
export interface Classifier {
  readonly head: readonly Layer[];
  readonly name: string;
  readonly in: number;
  readonly out: number;
}

/** A network as data, without weights. FLOPs, tensor names and the engines are derived from it. */
export interface Network {
  /** `<architecture>-<dataset>`. */
  readonly name: string;
  /** Name of the dataset that its outputs are the classes of. */
  readonly dataset: string;
  readonly input: MapShape;
  readonly stem: readonly Layer[];
  readonly stages: readonly Stage[];
  readonly classifier: Classifier;
}

/** Output size of a convolution or pooling along one side (rounded down, as in PyTorch). */
function outputSize(size: number, layer: { kernel: number; stride: number; padding: number }): number {
  return Math.floor((size + 2 * layer.padding - layer.kernel) / layer.stride) + 1;
}

/** Shape after a sequence of layers. @throws Error if a description is inconsistent (a defect of dgate) */
const shapeAfter = (layers: readonly Layer[], input: MapShape): MapShape =>
  layers.reduce((shape, layer) => shapeAfterLayer(layer, shape), input);

function shapeAfterLayer(layer: Layer, input: MapShape): MapShape {
  const { channels, height, width } = input;
  switch (layer.op) {
    case 'conv':
      if (layer.in !== channels) throw new Error(`${layer.name}: declared for ${layer.in} channels, gets ${channels}`);
      return { channels: layer.out, height: outputSize(height, layer), width: outputSize(width, layer) };
    case 'batchNorm':
      if (layer.channels !== channels) {
        throw new Error(`${layer.name}: declared for ${layer.channels} channels, gets ${channels}`);
      }
      return input;
    case 'relu':
      return input;
    case 'maxPool':
    case 'avgPool':
      return { channels, height: outputSize(height, layer), width: outputSize(width, layer) };
    case 'residual': {
      const [body, shortcut] = [shapeAfter(layer.body, input), shapeAfter(layer.shortcut, input)];
      if (body.channels !== shortcut.channels || body.height !== shortcut.height || body.width !== shortcut.width) {
        throw new Error(`residual block: body ${JSON.stringify(body)}, shortcut ${JSON.stringify(shortcut)}`);
      }
      return body;
    }
    case 'denseConcat':
      return { ...input, channels: channels + shapeAfter(layer.body, input).channels };
    case 'subsamplePad':
      return {
        channels: channels + layer.before + layer.after,
        height: Math.ceil(height / layer.stride),
        width: Math.ceil(width / layer.stride),
      };
  }
}

/** Shape of the feature map at each stage's end, where its gate sits. */
export function stageShapes(network: Network): MapShape[] {
  let shape = shapeAfter(network.stem, network.input);
  return network.stages.map((stage) => {
    const end = shapeAfter(stage.layers, shape);
    shape = shapeAfter(stage.transition, end);
    return end;
  });
}

export const relu: Layer = { op: 'relu' };

/** A square convolution with the padding that keeps the size at stride 1. */
export function conv(name: string, input: number, output: number, kernel: number, stride = 1): Conv {
  return { op: 'conv', name, in: input, out: output, kernel, stride, padding: (kernel - 1) / 2 };
}

export function batchNorm(name: string, channels: number): BatchNorm {
  return { op: 'batchNorm', name, channels };
}

interface NetworkTensor {
  /** As in the reference implementation's `state_dict()`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly count: number;
  /** False for running statistics. */
  readonly trainable: boolean;
}

const expected = (name: string, shape: readonly number[], trainable = true): NetworkTensor => {
  return { name, shape, count: elementCount(shape), trainable };
};

function* layerTensors(layers: readonly Layer[]): Generator<NetworkTensor> {
  for (const layer of layers) {
    if (layer.op === 'conv') {
      yield expected(`${layer.name}.weight`, [layer.out, layer.in, layer.kernel, layer.kernel]);
    } else if (layer.op === 'batchNorm') {
      yield expected(`${layer.name}.weight`, [layer.channels]);
      yield expected(`${layer.name}.bias`, [layer.channels]);
      yield expected(`${layer.name}.running_mean`, [layer.channels], false);
      yield expected(`${layer.name}.running_var`, [layer.channels], false);
    }
    if ('body' in layer) yield* layerTensors(layer.body);
    if ('shortcut' in layer) yield* layerTensors(layer.shortcut);
  }
}

/** All tensors of a network in the order of its reference's `state_dict()`, without `num_batches_tracked`. */
export function networkTensors(network: Network): NetworkTensor[] {
  const { classifier } = network;
  return [
    ...layerTensors(network.stem),
    ...network.stages.flatMap((stage) => [...layerTensors(stage.layers), ...layerTensors(stage.transition)]),
    ...layerTensors(classifier.head),
    expected(`${classifier.name}.weight`, [classifier.out, classifier.in]),
    expected(`${classifier.name}.bias`, [classifier.out]),
  ];
}

/** Trainable scalars from the image to the end of a stage (counted from 1), its transition not included. */
export function parametersUpTo({ stem, stages }: Network, end: number): number {
  const layers = stages
    .slice(0, end)
    .flatMap((stage, i) => [...stage.layers, ...(i + 1 < end ? stage.transition : [])]);
  return trainableCount([...layerTensors([...stem, ...layers])]);
}

const trainableCount = (tensors: readonly NetworkTensor[]): number =>
  tensors.reduce((sum, { trainable, count }) => sum + (trainable ? count : 0), 0);

/** The cost of one stage for one image. FLOPs are 2 x multiply-accumulates of convolutions and linear layers. */
export interface StageFlops extends MapShape {
  readonly name: string;
  /** FLOPs since the previous stage's end, with the stem or transition before this stage. */
  readonly flops: number;
  /** FLOPs from the image to this stage's end, gates not included. */
  readonly cumulativeFlops: number;
}

export interface NetworkFlops {
  readonly network: string;
  readonly input: MapShape;
  /** Trainable scalars: convolutions, batch-norm weight and bias, linear layers. */
  readonly parameters: number;
  readonly flops: number;
  readonly stages: readonly StageFlops[];
}

function layersFlops(layers: readonly Layer[], input: MapShape): number {
  let shape = input;
  let flops = 0;
  for (const layer of layers) {
    const output = shapeAfterLayer(layer, shape);
    if (layer.op === 'conv') {
      flops += 2 * layer.in * layer.out * layer.kernel ** 2 * output.height * output.width;
    }
    if ('body' in layer) flops += layersFlops(layer.body, shape);
    if ('shortcut' in layer) flops += layersFlops(layer.shortcut, shape);
    shape = output;
  }
  return flops;
}

/** FLOPs of a linear layer (a d-gate or the classifier) on one image. */
export function linearFlops(inputs: number, outputs: number): number {
  return 2 * inputs * outputs;
}

/** Exact FLOPs of a network, as the paper counts them (section 3.4: ResNet-101 5.02 G, DenseNet-201 2.72 G on CIFAR-10). */
export function networkFlops(network: Network): NetworkFlops {
  let shape = network.input;
  let total = 0;
  const spend = (layers: readonly Layer[]): void => {
    total += layersFlops(layers, shape);
    shape = shapeAfter(layers, shape);
  };
  spend(network.stem);
  let previous = 0;
  const stages = network.stages.map((stage): StageFlops => {
    spend(stage.layers);
    const entry = { name: stage.name, ...shape, flops: total - previous, cumulativeFlops: total };
    previous = total;
    spend(stage.transition);
    return entry;
  });
  spend(network.classifier.head);
  return {
    network: network.name,
    input: network.input,
    parameters: trainableCount(networkTensors(network)),
    flops: total + linearFlops(network.classifier.in, network.classifier.out),
    stages,
  };
}
