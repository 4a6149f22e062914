import type { ExitCosts, Scores, Thresholds } from './evaluate.js';
import { GateOrders } from './sequential.js';

/**
 * Coordinate passes: from closed gates, each gate in turn gets the threshold of lowest average FLOPs at the required
 * accuracy, all other gates as they are, again and again until nothing changes. The first pass is the sequential search;
 * thresholds only fall, so it ends.
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param required share of `images` to be classified correctly, 0 to 1
 */
export function coordinateSearch(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  required: number,
): Thresholds {
  const orders = new GateOrders(scores, costs, images, required);
  let thresholds = orders.complete([]);
  for (;;) {
    const before = thresholds;
    for (const gate of before.keys()) thresholds = thresholds.with(gate, orders.lowest(thresholds, gate));
    if (thresholds.every((t, gate) => t === before[gate])) return thresholds;
  }
}
