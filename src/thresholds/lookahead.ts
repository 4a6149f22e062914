import { type Evaluation, type ExitCosts, evaluate, type Scores, type Thresholds } from './evaluate.js';
import { achievableLevels, quantileLevels } from './levels.js';
import { GateOrders } from './sequential.js';

/** Thresholds tried at a gate: quantiles of the confidences. */
const MOST_LEVELS = 400;

/**
 * Thresholds chosen one gate after the other, each for the fewest average FLOPs of the finished network at the required
 * accuracy: every threshold of a gate is tried with the gates before it fixed and those after it completed by the
 * sequential search. So a gate leaves a part of the margin to later gates where that saves more.
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param required share of `images` to be classified correctly, 0 to 1
 */
export function lookaheadSearch(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  required: number,
): Thresholds {
  const orders = new GateOrders(scores, costs, images, required);
  let best = orders.complete([]);
  let found = evaluate(scores, best, costs, images);
  const isBetter = ({ correct, flops }: Evaluation): boolean =>
    correct >= orders.needed && (flops < found.flops || (flops === found.flops && correct > found.correct));
  for (let gate = 0; gate < best.length - 1; gate++) {
    const before = best.slice(0, gate);
    for (const level of quantileLevels(achievableLevels(scores.confidences[gate]!, images), MOST_LEVELS)) {
      const tried = orders.complete([...before, level]);
      const result = evaluate(scores, tried, costs, images);
      if (isBetter(result)) [best, found] = [tried, result];
    }
  }
  return best;
}
