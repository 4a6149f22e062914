import { type BootstrapOptions, bootstrapCounts } from '../statistics/bootstrap.js';
import type { Interval } from '../statistics/interval.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from './evaluate.js';

/** Intervals of the results that thresholds give. */
export interface Intervals {
  readonly accuracy: Interval;
  /** The original's accuracy minus the gated network's, on the same images. */
  readonly accuracyDrop: Interval;
  /** Average FLOPs per image. */
  readonly flops: Interval;
}

/**
 * Numbers of images by outcome, [exit][gated network right][original right], 4 for each exit. Accuracy, drop and FLOPs
 * depend on nothing else.
 */
type OutcomeCounts = Int32Array;

/** @param images positions of the evaluated images; all by default */
export function countOutcomes(scores: Scores, thresholds: Thresholds, images?: ArrayLike<number>): OutcomeCounts {
  const counts = new Int32Array(4 * (thresholds.length + 1));
  const count = images?.length ?? scores.count;
  for (let i = 0; i < count; i++) {
    const image = images?.[i] ?? i;
    const exit = exitOf(scores, thresholds, image);
    const right = (scores.classes[exit] ?? scores.original)[image] === scores.labels[image];
    counts[4 * exit + 2 * Number(right) + Number(scores.original[image] === scores.labels[image])]!++;
  }
  return counts;
}

/** The counts of disjoint sets of images, added up. */
export function combineOutcomes(parts: readonly OutcomeCounts[]): OutcomeCounts {
  return parts[0]!.map((_, i) => parts.reduce((sum, part) => sum + part[i]!, 0));
}

/**
 * Bootstrap intervals over the evaluated images, paired: a resample has the answers of the gated and of the original
 * network to the same images. Thresholds, gates and folds stay fixed.
 */
export function outcomeIntervals(counts: OutcomeCounts, costs: ExitCosts, options: BootstrapOptions): Intervals {
  const count = counts.reduce((sum, number) => sum + number, 0);
  const meanOf = (value: (outcome: number) => number) => (drawn: OutcomeCounts) =>
    drawn.reduce((sum, number, outcome) => sum + number * value(outcome), 0) / count;
  const isRight = (outcome: number): number => (outcome >> 1) & 1;
  const statistics = {
    accuracy: meanOf(isRight),
    accuracyDrop: meanOf((outcome) => (outcome & 1) - isRight(outcome)),
    flops: meanOf((outcome) => costs[outcome >> 2]!),
  };
  return bootstrapCounts(counts, statistics, options);
}
