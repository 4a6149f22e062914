import { type Interval, meanOfCounts, pairedDifference, wilson } from '../statistics/intervals.js';

/** Answers of the network and of every gate to each image: enough to evaluate any thresholds without running either. */
export interface Scores {
  readonly count: number;
  /** Per gate, the class that it predicts for each image, [count]. */
  readonly classes: readonly Int32Array[];
  /** Per gate, the confidence that it compares with its threshold, [count]. */
  readonly confidences: readonly Confidences[];
  /** Class that the original classifier predicts, [count]. */
  readonly original: Int32Array;
  /** True class, [count]. */
  readonly labels: Int32Array;
}

/** As they were computed, or given: a threshold between two of them, or equal to one, divides them as it would there. */
export type Confidences = Float32Array | Float64Array;

/** What an exit answers, [count]: a gate, or behind the last of them the original classifier. */
export const answersAt = (scores: Scores, exit: number): Int32Array => scores.classes[exit] ?? scores.original;

/** The scores of a system that uses some exits only, ascending; the last of them stands for the original. */
export function scoresOfExits(scores: Scores, exits: readonly number[]): Scores {
  const asked = exits.slice(0, -1);
  return {
    ...scores,
    classes: asked.map((exit) => scores.classes[exit]!),
    confidences: asked.map((exit) => scores.confidences[exit]!),
    original: answersAt(scores, exits.at(-1)!),
  };
}

/** FLOPs of an image by its exit, the original classifier last; all gates up to the exit are included. */
export type ExitCosts = readonly number[];

/** A threshold for each gate; Infinity closes a gate. */
export type Thresholds = readonly number[];

export interface Evaluation {
  /** Share of images classified correctly, 0 to 1. */
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  /** Number of images leaving at each exit, the original classifier last. */
  readonly exits: readonly number[];
  readonly correct: number;
  readonly count: number;
}

/** The FLOPs of each exit: the network up to the gate's stage, plus every gate up to it. */
export function exitCosts(cumulativeFlops: readonly number[], gateFlops: readonly number[], total: number): ExitCosts {
  let gates = 0;
  const exits = cumulativeFlops.map((flops, index) => {
    gates += gateFlops[index]!;
    return flops + gates;
  });
  return [...exits, total + gates];
}

/**
 * The exit of an image by Algorithm 1: the first gate whose confidence is >= its threshold, otherwise the last exit.
 */
export function exitOf(scores: Scores, thresholds: Thresholds, image: number): number {
  for (let gate = 0; gate < thresholds.length; gate++) {
    if (scores.confidences[gate]![image]! >= thresholds[gate]!) return gate;
  }
  return thresholds.length;
}

/**
 * Accuracy, average FLOPs and exits of these thresholds by Algorithm 1.
 *
 * @param images positions of the evaluated images; all by default
 */
export function evaluate(
  scores: Scores,
  thresholds: Thresholds,
  costs: ExitCosts,
  images?: ArrayLike<number>,
): Evaluation {
  const count = images?.length ?? scores.count;
  const exits = new Array<number>(costs.length).fill(0);
  let correct = 0;
  for (let i = 0; i < count; i++) {
    const image = images?.[i] ?? i;
    const exit = exitOf(scores, thresholds, image);
    exits[exit]!++;
    const predicted = (scores.classes[exit] ?? scores.original)[image];
    if (predicted === scores.labels[image]) correct++;
  }
  const flops = exits.reduce((sum, number, exit) => sum + number * costs[exit]!, 0);
  return { accuracy: correct / count, flops: flops / count, exits, correct, count };
}

/** Evaluations on disjoint images, combined. */
export function combine(parts: readonly Evaluation[]): Evaluation {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const correct = parts.reduce((sum, part) => sum + part.correct, 0);
  const exits = parts[0]!.exits.map((_, exit) => parts.reduce((sum, part) => sum + part.exits[exit]!, 0));
  const flops = parts.reduce((sum, part) => sum + part.flops * part.count, 0) / count;
  return { accuracy: correct / count, flops, exits, correct, count };
}

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

/** Changes of the answers on disjoint sets of images, each with its own thresholds. */
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
  let worst = Number.NEGATIVE_INFINITY;
  for (const of of classes.values()) worst = Math.max(worst, of.drop / of.count);
  return { disagreement: changed / count, worstClassDrop: worst };
}
