import { InputError } from '../errors.js';
import type { MapShape } from './network.js';
import { type AnyNetwork, gateShapes } from './onnx.js';

/**
 * How a stage's feature map becomes a gate's features: `gap`, the average of each channel, or `grid`, the averages of
 * `size` x `size` equal cells of each channel (features ordered channel, row, column). Of tokens, `gap` is their mean
 * and `class-token` the first one.
 */
export type Pooling =
  | { readonly kind: 'gap' }
  | { readonly kind: 'grid'; readonly size: number }
  | { readonly kind: 'class-token' };

/** A place for a d-gate: the end of a stage, counted from 1 as in the paper, and how its features are pooled. */
export interface GatePlace {
  readonly stage: number;
  readonly pooling: Pooling;
}

/** Number of features that a gate reads. */
export function featureCount(shape: MapShape, pooling: Pooling): number {
  return pooling.kind === 'grid' ? shape.channels * pooling.size ** 2 : shape.channels;
}

/** Features of each gate of a network. */
export function gateFeatureCounts(network: AnyNetwork, places: readonly GatePlace[]): number[] {
  const shapes = gateShapes(network);
  return places.map((place) => featureCount(shapes[place.stage - 1]!, place.pooling));
}

/**
 * Checks the places of gates.
 *
 * @throws InputError naming every invalid place, and the valid ones
 */
export function checkPlaces(network: AnyNetwork, places: readonly GatePlace[]): void {
  const shapes = gateShapes(network);
  const last = shapes.length;
  const problems = places.flatMap(({ stage, pooling }, index) => {
    const where = `gate ${index + 1} of ${network.name}`;
    const shape = shapes[stage - 1];
    if (shape === undefined) return `${where}: after stage ${stage}; valid: stages 1 to ${last}`;
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
