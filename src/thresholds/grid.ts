import type { Confidences, ExitCosts, Scores, Thresholds } from './evaluate.js';

/** Most combinations of levels, one per gate; each takes 16 bytes. */
const MOST_COMBINATIONS = 2 ** 24;

/**
 * Every combination of levels, all evaluated at once. Images are counted into cells by the levels that they reach; a
 * running sum along each gate then gives the totals of every combination. With N images, K gates and C combinations
 * that takes about N K + C K steps; evaluating each combination takes N C.
 */
interface ThresholdGrid {
  readonly levels: readonly Levels[];
  readonly combinations: number;
  /**
   * For every combination (row-major, the last gate's level varies fastest) the sum of the weights of all images that
   * leave early.
   *
   * @param weight of image number `position` of the grid's images if it leaves at `gate`; whole numbers are summed
   * exactly up to 2^53
   */
  readonly sum: (weight: (gate: number, position: number) => number) => Float64Array;
  /** Thresholds of a combination. */
  readonly thresholds: (combination: number) => Thresholds;
}

/** @throws RangeError for more than 2^24 combinations */
export function makeGrid(scores: Scores, images: ArrayLike<number>, levels: readonly Levels[]): ThresholdGrid {
  const sizes = levels.map((of) => of.length);
  const combinations = sizes.reduce((product, size) => product * size, 1);
  if (combinations > MOST_COMBINATIONS) {
    throw new RangeError(`${combinations} combinations of levels; valid: at most ${MOST_COMBINATIONS}`);
  }
  // Level of each image at each gate, [gate][position]
  const reached = levels.map((of, gate) => levelsOf(of, scores.confidences[gate]!, images));
  return {
    levels,
    combinations,
    sum: (weight) => sumOverCombinations(reached, sizes, weight),
    thresholds: (combination) => {
      let rest = combination;
      return sizes.map((_, gate) => {
        const inner = sizes.slice(gate + 1).reduce((product, size) => product * size, 1);
        const level = Math.floor(rest / inner);
        rest %= inner;
        return levels[gate]![level]!;
      });
    },
  };
}

/**
 * With levels l, image i leaves at gate k if its level there is <= l_k and its level at each earlier gate j is > l_j.
 * The weights at gate k depend on l_1 .. l_k only, so its table has k dimensions and is added to all combinations of
 * the later gates.
 */
function sumOverCombinations(
  reached: readonly Int32Array[],
  sizes: readonly number[],
  weight: (gate: number, position: number) => number,
): Float64Array {
  let before = new Float64Array(1); // sums of the gates so far, over the levels of the gates so far
  // Cell of each image over the levels of the gates so far; -1 if it has left at any levels
  const cell = new Int32Array(reached[0]?.length ?? 0);
  reached.forEach((level, gate) => {
    const size = sizes[gate]!;
    const table = new Float64Array(before.length * size);
    for (let i = 0; i < cell.length; i++) {
      if (cell[i]! < 0) continue;
      const own = cell[i]! * size;
      if (level[i]! < size) table[own + level[i]!]! += weight(gate, i);
      // The image passes the gate at lower levels only; an image of level 0 leaves even a closed gate.
      cell[i] = level[i] === 0 ? -1 : own + level[i]! - 1;
    }
    runningSums(table, sizes.slice(0, gate + 1));
    for (let outer = 0; outer < before.length; outer++) {
      const added = before[outer]!;
      if (added !== 0) for (let i = outer * size; i < (outer + 1) * size; i++) table[i]! += added;
    }
    before = table;
  });
  return before;
}

/**
 * In place: sums from the front along the last dimension (images that leave), from the back along the others (that
 * stay).
 */
function runningSums(table: Float64Array, sizes: readonly number[]): void {
  const last = sizes.at(-1)!;
  for (let row = 0; row < table.length; row += last) {
    for (let i = row + 1; i < row + last; i++) table[i]! += table[i - 1]!;
  }
  let stride = last;
  for (let gate = sizes.length - 2; gate >= 0; gate--) {
    const block = stride * sizes[gate]!;
    for (let start = 0; start < table.length; start += block) {
      for (let i = start + block - stride - 1; i >= start; i--) table[i]! += table[i + stride]!;
    }
    stride = block;
  }
}

/** Effect of leaving at a gate instead of the last exit on an image's answer: +1 fixed, -1 broken, 0 unchanged. */
export function gainOf(scores: Scores, gate: number, image: number): number {
  const label = scores.labels[image];
  return Number(scores.classes[gate]![image] === label) - Number(scores.original[image] === label);
}

/** FLOPs that an image saves if it leaves at a gate instead of the last exit. */
export const savingOf = (costs: ExitCosts, gate: number): number => costs.at(-1)! - costs[gate]!;

/**
 * Candidate thresholds of a gate: Infinity (closed) first, then confidences of images, descending. All thresholds
 * between two neighbouring confidences select the same images, so the confidences themselves are enough.
 */
export type Levels = Float64Array;

/** Every distinct threshold on these images: closed, and each distinct confidence. */
export function achievableLevels(confidences: Confidences, images: ArrayLike<number>): Levels {
  const values = new Float64Array(images.length);
  for (let i = 0; i < values.length; i++) values[i] = confidences[images[i]!]!;
  values.sort(); // numbers ascending, NaN last: NaN never reaches a threshold
  const levels = new Float64Array(values.length + 1);
  levels[0] = Number.POSITIVE_INFINITY;
  let last = 0;
  for (let i = values.length - 1; i >= 0; i--) {
    const value = values[i]!;
    if (!Number.isNaN(value) && value < levels[last]!) levels[++last] = value;
  }
  return levels.slice(0, last + 1);
}

/**
 * At most `count` levels that represent all of them: closed, the lowest (all images leave), and quantiles between.
 *
 * @param all the result of `achievableLevels`
 * @param count at least 2
 */
export function quantileLevels(all: Levels, count: number): Levels {
  if (all.length <= count) return all;
  return Float64Array.from({ length: count }, (_, i) => all[Math.round((i * (all.length - 1)) / (count - 1))]!);
}

/** Most gates with levels of their own in a grid: it grows exponentially with them. */
const MOST_GATES = 10;

/** In how many turns all gates have levels of their own: in turn t every `turnsOf`-th of them, from gate t on. */
export const turnsOf = (gates: number): number => Math.max(1, Math.ceil(gates / MOST_GATES));

/** How many levels a gate has in a grid of so many combinations; at least 2. */
export const levelsWithin = (combinations: number, gates: number): number =>
  Math.max(2, Math.floor(combinations ** (1 / Math.ceil(gates / turnsOf(gates)))));

/** The levels of a grid: at most `count` quantiles at every gate; with more than 10 gates at some, evenly spaced, the others closed. */
export const gridLevels = (all: readonly Levels[], count: number): Levels[] =>
  all.map((of, gate) => (gate % turnsOf(all.length) === 0 ? quantileLevels(of, count) : of.subarray(0, 1)));

/**
 * At most `count` levels within `reach` positions of a threshold, the threshold included.
 *
 * @param all the result of `achievableLevels`
 */
export function levelsAround(all: Levels, threshold: number, reach: number, count: number): Levels {
  const centre = Math.min(levelOf(all, threshold), all.length - 1);
  const step = Math.max(1, Math.ceil((2 * reach) / (count - 1)));
  const steps = Math.floor((count - 1) / 2);
  const positions = Array.from({ length: 2 * steps + 1 }, (_, i) => centre + (i - steps) * step);
  return Float64Array.from(positions.filter((p) => p >= 0 && p < all.length).map((p) => all[p]!));
}

/** The level that each of these images reaches, [images]. */
export function levelsOf(levels: Levels, confidences: Confidences, images: ArrayLike<number>): Int32Array {
  const reached = new Int32Array(images.length); // a plain loop: `from` takes ten times as long
  for (let i = 0; i < reached.length; i++) reached[i] = levelOf(levels, confidences[images[i]!]!);
  return reached;
}

/** The first (highest) level that a confidence reaches; the number of levels if it reaches none. */
export function levelOf(levels: Levels, confidence: number): number {
  let [low, high] = [0, levels.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (confidence >= levels[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}
