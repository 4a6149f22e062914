import { InputError } from '../errors.js';
import { type MapShape, type Network, type NetworkFlops, networkFlops, stageShapes } from './network.js';

/** A tensor of a user's network that a gate can read. */
export interface OnnxStage extends MapShape {
  readonly name: string;
  /**
   * Layout of one image: `maps-first` [channels, height, width], `maps-last` [height, width, channels],
   * `tokens-first` [channels, tokens], `tokens-last` [tokens, channels] (the tokens are `height`, `width` is 1), `row`
   * [channels].
   */
  readonly layout: 'maps-first' | 'maps-last' | 'tokens-first' | 'tokens-last' | 'row';
  /** The axis of the images, where that is not the first. */
  readonly images?: number;
  /** FLOPs from the image to here, without heads of exits. */
  readonly cumulativeFlops: number;
  /** Of an exit that the file has: FLOPs of its head, where images leave, its threshold if the file holds it. No gate is trained for it. */
  readonly own?: { readonly flops: number; readonly leaves: string; readonly threshold: number | undefined };
}

/** A user's network, read from ONNX; built-in ones are a `Network`. */
export interface OnnxNetwork {
  readonly format: 'onnx';
  /** The file's name without `.onnx`. */
  readonly name: string;
  readonly dataset: string;
  readonly input: MapShape;
  readonly logits: string;
  readonly classes: number;
  readonly parameters: number;
  readonly flops: number;
  /** Possible places of gates, in order. */
  readonly stages: readonly OnnxStage[];
}

/** Most exits that a file may have. */
export const MOST_EXITS = 32;

export type AnyNetwork = Network | OnnxNetwork;

function isOnnx(network: AnyNetwork): network is OnnxNetwork {
  return 'format' in network;
}

export function classCount(network: AnyNetwork): number {
  return isOnnx(network) ? network.classes : network.classifier.out;
}

/** Shapes at the ends of all stages, or at the chosen tensors of a file. */
function gateShapes(network: AnyNetwork): readonly (MapShape & { readonly layout?: OnnxStage['layout'] })[] {
  return isOnnx(network) ? network.stages : stageShapes(network);
}

export function flopsOf(network: AnyNetwork): NetworkFlops {
  if (!isOnnx(network)) return networkFlops(network);
  const { name, input, parameters, flops } = network;
  const stages = network.stages.map(({ layout: _, images: __, own: ___, ...stage }, index) => {
    return { ...stage, flops: stage.cumulativeFlops - (network.stages[index - 1]?.cumulativeFlops ?? 0) };
  });
  return { network: name, input, parameters, flops, stages };
}

/** Narrows to a built-in network. @throws InputError for an ONNX file, with the engines that run it */
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

/**
 * How a stage's map becomes a gate's features. `gap`: the average of each channel. `grid`: the averages of `size` x `size`
 * equal cells of each channel, ordered channel, row, column. `class-token`: the first of the tokens.
 */
export type Pooling =
  | { readonly kind: 'gap' }
  | { readonly kind: 'grid'; readonly size: number }
  | { readonly kind: 'class-token' };

/** A place for a d-gate: the end of a stage, counted from 1 as in the paper. */
export interface GatePlace {
  readonly stage: number;
  readonly pooling: Pooling;
}

export function featureCount(shape: MapShape, pooling: Pooling): number {
  return pooling.kind === 'grid' ? shape.channels * pooling.size ** 2 : shape.channels;
}

export function gateFeatureCounts(network: AnyNetwork, places: readonly GatePlace[]): number[] {
  const shapes = gateShapes(network);
  return places.map((place) => featureCount(shapes[place.stage - 1]!, place.pooling));
}

/** @throws InputError naming every invalid place, and the valid ones */
export function checkPlaces(network: AnyNetwork, places: readonly GatePlace[]): void {
  const shapes = gateShapes(network);
  const last = isOnnx(network) ? shapes.length : shapes.length - 1;
  const problems = places.flatMap(({ stage, pooling }, index) => {
    const where = `gate ${index + 1} of ${network.name}`;
    const shape = shapes[stage - 1];
    if (shape === undefined || stage > last) return `${where}: after stage ${stage}; valid: stages 1 to ${last}`;
    if (index > 0 && stage <= places[index - 1]!.stage)
      return `${where}: stage ${stage} does not follow the one before`;
    const tokens = shape.layout !== undefined && !shape.layout.startsWith('maps');
    if (pooling.kind === 'class-token' && !shape.layout?.startsWith('tokens')) {
      return `${where}: class-token, where there are no tokens; valid: gap, or a grid such as 4x4`;
    }
    if (pooling.kind === 'grid' && tokens) {
      return `${where}: a grid, where there is no map; valid: gap${shape.layout === 'row' ? '' : ', class-token'}`;
    }
    if (pooling.kind === 'grid' && (shape.height % pooling.size !== 0 || shape.width % pooling.size !== 0)) {
      const valid = Array.from({ length: shape.height }, (_, i) => i + 1).filter((n) => shape.height % n === 0);
      return `${where}: a ${pooling.size} x ${pooling.size} grid does not divide ${shape.height} x ${shape.width}; valid: ${valid.join(', ')}`;
    }
    return [];
  });
  if (problems.length > 0) throw new InputError(problems);
}
