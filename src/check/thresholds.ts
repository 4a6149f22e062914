import { type ExitCosts, evaluate, type Scores, type Thresholds } from '../thresholds/evaluate.js';

/** Shares of the images reaching a gate that leave there, at the thresholds that a baseline keeps. */
export const shares = [0.25, 0.5, 0.75] as const;

/** How far from the wanted rank a gap between confidences is looked for, as a share of the images at the gate. */
const REACH = 0.05;

/**
 * Thresholds far from every confidence: at each gate, about `share` of the images that come there leave, and the
 * threshold lies in the middle of the widest gap nearby. No rounding of an engine moves an image across it.
 */
export function thresholdsInGaps(scores: Scores, share: number): number[] {
  return atEachGate(scores, (confidences) => {
    const wanted = Math.round(share * confidences.length);
    const reach = Math.max(1, Math.round(REACH * confidences.length));
    let [best, widest] = [confidences[0] ?? 0, -1];
    for (let i = Math.max(1, wanted - reach); i <= Math.min(confidences.length - 1, wanted + reach); i++) {
      const gap = confidences[i - 1]! - confidences[i]!;
      if (gap > widest) [best, widest] = [(confidences[i - 1]! + confidences[i]!) / 2, gap];
    }
    return best;
  });
}

/**
 * Thresholds that are the confidence of an image each: at each gate the image at the rank of `share` leaves by exactly
 * reaching the threshold (Algorithm 1's >=). How many leave follows from the rank, whatever an engine rounds.
 */
export function thresholdsAtRanks(scores: Scores, share: number): number[] {
  return atEachGate(scores, (confidences) => {
    const rank = Math.min(confidences.length - 1, Math.max(0, Math.round(share * confidences.length) - 1));
    return confidences[rank] ?? 0;
  });
}

/** @param choose a threshold from the confidences, descending, of the images that come to a gate */
function atEachGate(scores: Scores, choose: (confidences: Float32Array) => number): number[] {
  const thresholds: number[] = [];
  let left = Array.from({ length: scores.count }, (_, i) => i);
  for (const confidences of scores.confidences) {
    const there = Float32Array.from(left, (image) => confidences[image]!)
      .filter((value) => !Number.isNaN(value))
      .sort()
      .reverse();
    const threshold = choose(there);
    thresholds.push(threshold);
    // Who stays is asked of the evaluation that is checked: an image alone, this gate alone.
    left = left.filter((image) => leavesAt(scores, thresholds, image) === undefined);
  }
  return thresholds;
}

/** The gate at which an image leaves; undefined where it passes all of these. */
function leavesAt(scores: Scores, thresholds: Thresholds, image: number): number | undefined {
  const costs: ExitCosts = [...thresholds.map(() => 0), 0];
  const { exits } = evaluate(scores, thresholds, costs, [image]);
  const exit = exits.indexOf(1);
  return exit < thresholds.length ? exit : undefined;
}

/** Images whose exit hangs on a rounding: their confidence at a gate that they reach is this close to the threshold. */
export function nearThreshold(scores: Scores, thresholds: Thresholds, distance: number): number {
  let near = 0;
  for (let image = 0; image < scores.count; image++) {
    for (const [gate, threshold] of thresholds.entries()) {
      const confidence = scores.confidences[gate]![image]!;
      if (Math.abs(confidence - threshold) <= distance) {
        near++;
        break;
      }
      if (confidence >= threshold) break;
    }
  }
  return near;
}
