import { meanOfCounts, pairedDifference, wilson } from '../statistics/intervals.js';
import type { Interval } from '../statistics/samples.js';
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
 * 95 % intervals over the evaluated images: Wilson's of the accuracy, Tango's of the drop, which is paired (the answers of
 * both networks to the same images), and of the average FLOPs by the counts of images at each exit. All hold their level
 * where few images or answers change; thresholds, gates and folds stay fixed.
 */
export function outcomeIntervals(counts: OutcomeCounts, costs: ExitCosts): Intervals {
  const sumOf = (belongs: (outcome: number) => boolean): number =>
    counts.reduce((sum, number, outcome) => (belongs(outcome) ? sum + number : sum), 0);
  const count = sumOf(() => true);
  const exits = costs.map((_, exit) => sumOf((outcome) => outcome >> 2 === exit));
  return {
    accuracy: wilson(
      sumOf((outcome) => (outcome & 2) > 0),
      count,
    ),
    accuracyDrop: pairedDifference(
      sumOf((outcome) => (outcome & 3) === 1),
      sumOf((outcome) => (outcome & 3) === 2),
      count,
    ),
    flops: meanOfCounts(exits, costs),
  };
}

/** How the answers of a gated network differ from the original's. */
export interface Changes {
  /** Share of the images with another answer, right or wrong. */
  readonly disagreement: number;
  /** The largest drop of accuracy of a class, on the images of that class. */
  readonly worstClassDrop: number;
}

/** What became of the answers of disjoint sets of images, each with its own thresholds. */
export function changesOf(
  parts: readonly { readonly scores: Scores; readonly thresholds: Thresholds; readonly images: ArrayLike<number> }[],
): Changes {
  const classes = new Map<number, { count: number; drop: number }>();
  let [count, changed] = [0, 0];
  for (const { scores, thresholds, images } of parts) {
    count += images.length;
    for (let i = 0; i < images.length; i++) {
      const image = images[i]!;
      const label = scores.labels[image]!;
      const original = scores.original[image]!;
      const answer = (scores.classes[exitOf(scores, thresholds, image)] ?? scores.original)[image]!;
      const ofClass = classes.get(label) ?? { count: 0, drop: 0 };
      classes.set(label, ofClass);
      ofClass.count++;
      if (answer === original) continue;
      changed++;
      ofClass.drop += Number(original === label) - Number(answer === label);
    }
  }
  const drops = [...classes.values()].map((of) => of.drop / of.count);
  return { disagreement: changed / count, worstClassDrop: Math.max(...drops) };
}
