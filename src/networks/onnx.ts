import { InputError } from '../errors.js';
import { type NetworkFlops, networkFlops } from './flops.js';
import { type MapShape, type Network, stageShapes } from './network.js';

/** A tensor of a user's network that a gate can read. */
export interface OnnxStage extends MapShape {
  /** Name of the tensor in the file. */
  readonly name: string;
  /**
   * Layout of one image: `maps-first` [channels, height, width], `maps-last` [height, width, channels],
   * `tokens-first` [channels, tokens], `tokens-last` [tokens, channels] (the tokens are `height`, `width` is 1), `row`
   * [channels].
   */
  readonly layout: 'maps-first' | 'maps-last' | 'tokens-first' | 'tokens-last' | 'row';
  /** The tensor's axis of the images, where that is not the first. */
  readonly images?: number;
  /** FLOPs from the image to here. */
  readonly cumulativeFlops: number;
}

/** A user's network, read from ONNX: the counterpart of `Network` for built-in networks. */
export interface OnnxNetwork {
  readonly format: 'onnx';
  /** The file's name without `.onnx`. */
  readonly name: string;
  readonly dataset: string;
  readonly input: MapShape;
  /** Name of the value with a number for each class. */
  readonly logits: string;
  readonly classes: number;
  readonly parameters: number;
  readonly flops: number;
  /** Possible places of gates, in order. */
  readonly stages: readonly OnnxStage[];
}

export type AnyNetwork = Network | OnnxNetwork;

function isOnnx(network: AnyNetwork): network is OnnxNetwork {
  return 'format' in network;
}

export function classCount(network: AnyNetwork): number {
  return isOnnx(network) ? network.classes : network.classifier.out;
}

/** Shapes at each possible place of a gate: the ends of all stages but the last, or the tensors chosen in a file. */
export function gateShapes(network: AnyNetwork): readonly (MapShape & { readonly layout?: OnnxStage['layout'] })[] {
  return isOnnx(network) ? network.stages : stageShapes(network).slice(0, -1);
}

/** FLOPs of any network, by stage. */
export function flopsOf(network: AnyNetwork): NetworkFlops {
  if (!isOnnx(network)) return networkFlops(network);
  const { name, input, parameters, flops } = network;
  const stages = network.stages.map(({ layout: _, images: __, ...stage }, index) => {
    return { ...stage, flops: stage.cumulativeFlops - (network.stages[index - 1]?.cumulativeFlops ?? 0) };
  });
  return { network: name, input, parameters, flops, stages };
}

/** A built-in network. @throws InputError for an ONNX file, with the engines that run it */
export function described<T extends { readonly network: AnyNetwork }>(
  loaded: T,
  engine: string,
): Extract<T, { readonly network: Network }> {
  if (isOnnx(loaded.network)) {
    throw new InputError(
      `engine ${engine}: runs no ONNX file; valid for ${loaded.network.name}: ort-cpu, ort-webgpu, ort-cuda`,
    );
  }
  return loaded as Extract<T, { readonly network: Network }>;
}
