import { InputError } from '../errors.js';
import { type MapShape, type Network, stageShapes } from './network.js';

/**
 * How a stage's feature map becomes a gate's features: `gap`, the average of each channel, or `grid`, the averages of
 * `size` x `size` equal cells of each channel (features ordered channel, row, column).
 */
export type Pooling = { readonly kind: 'gap' } | { readonly kind: 'grid'; readonly size: number };

/** A place for a d-gate: the end of a stage, counted from 1 as in the paper, and what is read there. */
export interface GatePlace {
  readonly stage: number;
  readonly pooling: Pooling;
}

/** Number of features that a gate sees. */
export function featureCount(shape: MapShape, pooling: Pooling): number {
  return pooling.kind === 'gap' ? shape.channels : shape.channels * pooling.size ** 2;
}

/** Features of each gate of a network. */
export function gateFeatureCounts(network: Network, places: readonly GatePlace[]): number[] {
  const shapes = stageShapes(network);
  return places.map((place) => featureCount(shapes[place.stage - 1]!, place.pooling));
}

/**
 * Checks that gates can sit where they are asked for.
 *
 * @throws InputError naming every gate that cannot, and what would be valid
 */
export function checkPlaces(network: Network, places: readonly GatePlace[]): void {
  const shapes = stageShapes(network);
  const last = shapes.length - 1;
  const problems = places.flatMap(({ stage, pooling }, index) => {
    const where = `gate ${index + 1} of ${network.name}`;
    const shape = shapes[stage - 1];
    if (shape === undefined || stage > last) return `${where}: after stage ${stage}; valid: stages 1 to ${last}`;
    if (index > 0 && stage <= places[index - 1]!.stage)
      return `${where}: stage ${stage} does not follow the one before`;
    if (pooling.kind === 'grid' && (shape.height % pooling.size !== 0 || shape.width % pooling.size !== 0)) {
      const valid = Array.from({ length: shape.height }, (_, i) => i + 1).filter((n) => shape.height % n === 0);
      return `${where}: a ${pooling.size} x ${pooling.size} grid does not divide ${shape.height} x ${shape.width}; valid: ${valid.join(', ')}`;
    }
    return [];
  });
  if (problems.length > 0) throw new InputError(problems);
}
