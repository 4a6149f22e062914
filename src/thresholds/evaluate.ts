/** Answers of the network and of every gate to each image: enough to evaluate any thresholds without running either. */
export interface Scores {
  readonly count: number;
  /** Per gate, the class that it predicts for each image, [count]. */
  readonly classes: readonly Int32Array[];
  /** Per gate, the confidence that it compares with its threshold, [count]. */
  readonly confidences: readonly Float32Array[];
  /** Class that the original classifier predicts, [count]. */
  readonly original: Int32Array;
  /** True class, [count]. */
  readonly labels: Int32Array;
}

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
