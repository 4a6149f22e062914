import type { ExitCosts, Scores, Thresholds } from './evaluate.js';
import { type Levels, levelsOf } from './levels.js';

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
