import { incompleteBeta, mean, variance } from './intervals.js';

/** Two-sided p-value of the hypothesis that paired differences have mean 0 (Student's t). @param differences at least two */
export function pairedPValue(differences: readonly number[]): number {
  const [middle, freedom] = [mean(differences), differences.length - 1];
  const squared = variance(differences) / differences.length;
  if (squared === 0) return middle === 0 ? 1 : 0;
  return incompleteBeta(freedom / 2, 0.5, freedom / (freedom + middle ** 2 / squared));
}

/** p-values of several comparisons, adjusted so that any of them is wrongly rejected as rarely as one alone (Holm 1979). */
export function holm(pValues: readonly number[]): number[] {
  const order = [...pValues.keys()].sort((a, b) => pValues[a]! - pValues[b]!);
  const adjusted = [...pValues];
  let largest = 0;
  for (const [rank, i] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (pValues.length - rank) * pValues[i]!));
    adjusted[i] = largest;
  }
  return adjusted;
}

/**
 * The probability that a value of those that are right is above one of the others, ties counted half: the area under the ROC
 * curve (Mann and Whitney 1947); NaN where all are right, or none.
 */
export function areaUnderRoc(values: ArrayLike<number>, isRight: (i: number) => boolean): number {
  const order = Int32Array.from({ length: values.length }, (_, i) => i).sort((a, b) => values[a]! - values[b]!);
  let [ranks, right] = [0, 0];
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    const among = order.subarray(start, end).reduce((sum, i) => sum + Number(isRight(i)), 0);
    right += among;
    ranks += (among * (start + end + 1)) / 2;
    start = end;
  }
  return (ranks - (right * (right + 1)) / 2) / (right * (order.length - right));
}

/** Bins of equal counts that the calibration error is measured in. */
const BINS = 15;

/** Mean distance of probabilities from the share that is right, in bins of equal counts (adaptive calibration error, Nixon et al. 2019). */
export function adaptiveCalibrationError(probabilities: ArrayLike<number>, isRight: (i: number) => boolean): number {
  const count = probabilities.length;
  const order = Int32Array.from({ length: count }, (_, i) => i).sort((a, b) => probabilities[a]! - probabilities[b]!);
  let total = 0;
  for (let bin = 0; bin < BINS; bin++) {
    const own = order.subarray(Math.floor((bin * count) / BINS), Math.floor(((bin + 1) * count) / BINS));
    total += Math.abs(own.reduce((sum, i) => sum + probabilities[i]! - Number(isRight(i)), 0));
  }
  return total / count;
}
