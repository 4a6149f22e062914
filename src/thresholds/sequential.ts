import { leastCount } from '../statistics/quantiles.js';
import type { ExitCosts, Scores, Thresholds } from './evaluate.js';

/**
 * Thresholds chosen one gate after the other (paper, section 3.1): each gate in turn gets the threshold of lowest
 * average FLOPs at which the network still classifies enough images correctly, with earlier gates fixed and later gates
 * closed. FLOPs fall with the threshold, so the search takes the lowest achievable threshold that is good enough. A
 * gate whose every threshold breaks the requirement is closed (Infinity).
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param required share of `images` to be classified correctly, 0 to 1
 */
export function sequentialSearch(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  required: number,
): Thresholds {
  const needed = leastCount(required, images.length);
  let remaining = Int32Array.from(images);
  let correct = 0; // images that left at an earlier gate with the right class
  return costs.slice(0, -1).map((_, gate) => {
    const threshold = lowestThreshold(scores, gate, remaining, needed - correct);
    const leaves = (image: number): boolean => scores.confidences[gate]![image]! >= threshold;
    correct += remaining.filter((image) => leaves(image) && isRight(scores, scores.classes[gate]!, image)).length;
    remaining = remaining.filter((image) => !leaves(image));
    return threshold;
  });
}

const isRight = (scores: Scores, classes: Int32Array, image: number): boolean =>
  classes[image] === scores.labels[image];

/**
 * The lowest threshold of one gate, later gates closed, at which at least `needed` of the images are classified right.
 */
function lowestThreshold(scores: Scores, gate: number, images: Int32Array, needed: number): number {
  const confidences = scores.confidences[gate]!;
  const order = images.slice().sort((a, b) => confidences[b]! - confidences[a]!);
  // First the gate is closed and all images go to the original classifier; then they leave in the order of confidence.
  let right = order.reduce((sum, image) => sum + (isRight(scores, scores.original, image) ? 1 : 0), 0);
  let best = Number.POSITIVE_INFINITY;
  order.forEach((image, position) => {
    right += isRight(scores, scores.classes[gate]!, image) ? 1 : 0;
    right -= isRight(scores, scores.original, image) ? 1 : 0;
    const next = order[position + 1];
    // Images of equal confidence leave together, so a threshold is achievable only between different confidences.
    const achievable = next === undefined || confidences[next]! < confidences[image]!;
    if (achievable && right >= needed) best = confidences[image]!;
  });
  return best;
}
