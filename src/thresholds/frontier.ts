import { leastCount } from '../statistics/intervals.js';
import type { ExitCosts, Scores, Thresholds } from './evaluate.js';
import { achievableLevels, gainOf, type Levels, levelsOf, makeGrid, quantileLevels, savingOf } from './grid.js';

/**
 * A choice of thresholds on the Pareto frontier: no other choice that was tried has more right answers and fewer FLOPs.
 */
export interface FrontierPoint {
  readonly thresholds: Thresholds;
  readonly correct: number;
  /** Share of images classified correctly, 0 to 1. */
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
}

export interface Frontier {
  /** The most accurate first, FLOPs descending. */
  readonly points: readonly FrontierPoint[];
  /** Number of images. */
  readonly count: number;
  /** Combinations of thresholds compared. */
  readonly combinations: number;
  /** Whether all distinct combinations were compared, so that the frontier is exact. */
  readonly exact: boolean;
}

/** What a choice of thresholds is optimised for. */
export type Objective =
  /** The fewest FLOPs with at least this share of images right. */
  | { readonly kind: 'accuracy'; readonly required: number }
  /** The highest accuracy with at most this many FLOPs per image on average. */
  | { readonly kind: 'flops'; readonly budget: number }
  /** The largest accuracy - weight x FLOPs / FLOPs of the last exit. */
  | { readonly kind: 'weighted'; readonly weight: number };

/** All pairs of two gates are searched up to this many (50,000 images with distinct confidences: seconds). */
const MOST_PAIRS = 2.6e9;

/**
 * The Pareto frontier of accuracy against FLOPs on these images. One and two gates: over every achievable choice of
 * thresholds. More gates, or too many pairs: over a grid of quantiles; `jointSearch` refines it.
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param levels thresholds of the grid at each gate, closed included; `defaultLevels` if absent. If given, one and two
 * gates are searched on the grid as well.
 */
export function paretoFrontier(scores: Scores, costs: ExitCosts, images: ArrayLike<number>, levels?: number): Frontier {
  const gates = costs.length - 1;
  const all = scores.confidences.slice(0, gates).map((confidences) => achievableLevels(confidences, images));
  const [first, second, third] = all;
  const isPair = first !== undefined && second !== undefined && third === undefined && levels === undefined;
  if (isPair && first.length * second.length <= MOST_PAIRS) return exactPairs(scores, costs, images, [first, second]);
  const most = levels ?? defaultLevels(gates);
  return gridFrontier(
    scores,
    costs,
    images,
    all.map((of) => quantileLevels(of, most)),
    all,
  );
}

/** Levels of each gate: a million combinations at most. */
export function defaultLevels(gates: number): number {
  if (gates <= 1) return 1_000_000;
  if (gates === 2) return 1000;
  return gates === 3 ? 100 : Math.max(2, Math.floor(1e6 ** (1 / gates)));
}

/**
 * The frontier over every combination of these levels.
 *
 * @param all every achievable level, to know whether the result is exact; unknown if absent
 */
export function gridFrontier(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  levels: readonly Levels[],
  all?: readonly Levels[],
): Frontier {
  const grid = makeGrid(scores, images, levels);
  const gained = grid.sum((gate, position) => gainOf(scores, gate, images[position]!));
  const saved = grid.sum((gate) => savingOf(costs, gate));
  const best = new Best(scores, costs, images);
  for (let i = 0; i < grid.combinations; i++) best.offer(gained[i]!, saved[i]!, i);
  const exact = all?.every((of, gate) => of.length === levels[gate]!.length) ?? false;
  return { ...best.frontier((i) => grid.thresholds(i)), combinations: grid.combinations, exact };
}

/**
 * Every achievable pair. The first gate's threshold descends; for each of its values, the second's descends through the
 * remaining images in the order of their confidence there. A few instructions per pair.
 */
function exactPairs(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  [first, second]: readonly [Levels, Levels],
): Frontier {
  const best = new Best(scores, costs, images);
  const [saving1, saving2] = [savingOf(costs, 0), savingOf(costs, 1)];
  const leaving = inOrderOfLevels(scores, images, 0, first);
  const left = new Remaining(inOrderOfLevels(scores, images, 1, second), second.length);
  const { levels, gains } = left;
  const levelAtSecond = levelsOf(second, scores.confidences[1]!, images);
  const gainAtSecond = Int8Array.from(images, (image) => gainOf(scores, 1, image));
  let [gone, gained, pairs] = [0, 0, 0];
  const mostSaved = best.saved;
  for (let l1 = 0; l1 < first.length; l1++) {
    for (; gone < leaving.levels.length && leaving.levels[gone]! <= l1; gone++) {
      const position = leaving.positions[gone]!;
      gained += leaving.gains[gone]!;
      left.remove(levelAtSecond[position]!, gainAtSecond[position]!);
    }
    const [code, length] = [l1 * second.length, left.finite];
    let [right, saved] = [best.right + gained, gone * saving1];
    if (length === 0 || levels[0]! > 0) best.offer(gained, saved, code); // the second gate closed
    for (let i = 0; i < length; i++) {
      const level = levels[i]!;
      right += gains[i]!;
      saved += saving2;
      // Images of one level leave together. This is `offer`, inlined: it runs a hundred million times.
      if (saved > mostSaved[right]! && levels[i + 1] !== level) {
        mostSaved[right] = saved;
        best.combination[right] = code + level;
      }
    }
    pairs += length + 1;
  }
  const thresholds = (code: number) => [first[Math.floor(code / second.length)]!, second[code % second.length]!];
  return { ...best.frontier(thresholds), combinations: pairs, exact: true };
}

/** Images in the order in which they leave a gate: [images] each. */
interface Leaving {
  /** Level that the image reaches there, ascending. */
  readonly levels: Int32Array;
  readonly gains: Int8Array;
  /** Position of the image in the list of images. */
  readonly positions: Int32Array;
}

function inOrderOfLevels(scores: Scores, images: ArrayLike<number>, gate: number, levels: Levels): Leaving {
  const reached = levelsOf(levels, scores.confidences[gate]!, images);
  const positions = Int32Array.from(reached.keys()).sort((a, b) => reached[a]! - reached[b]!);
  return {
    positions,
    levels: positions.map((position) => reached[position]!),
    gains: Int8Array.from(positions, (position) => gainOf(scores, gate, images[position]!)),
  };
}

/** Levels and gains of the images that have not left yet. */
class Remaining {
  /** Ascending; a level that no image has follows the last image. */
  readonly levels: Int32Array;
  readonly gains: Int8Array;
  /** Images that leave at some level; those with confidence NaN never do. */
  finite: number;

  /** @param closed number of levels: the level of images that reach none */
  constructor({ levels, gains }: Leaving, closed: number) {
    this.finite = levels.filter((level) => level < closed).length;
    this.levels = Int32Array.of(...levels.subarray(0, this.finite), -1);
    this.gains = gains.slice(0, this.finite);
  }

  /** Removes one image of this level and gain. */
  remove(level: number, gain: number): void {
    let [low, high] = [0, this.finite];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.levels[middle]! >= level) high = middle;
      else low = middle + 1;
    }
    if (low === this.finite) return; // never leaves, so it is not in the list
    while (this.gains[low] !== gain) low++;
    this.levels.copyWithin(low, low + 1, this.finite + 1);
    this.gains.copyWithin(low, low + 1, this.finite);
    this.finite--;
  }
}

/** For each number of right answers the combination with the fewest FLOPs: the candidates for the frontier. */
class Best {
  readonly #total: number;
  /** Right answers of the original classifier. */
  readonly right: number;
  /** Most FLOPs saved, on all images together, by number of right answers; and the combination that saves them. */
  readonly saved: Float64Array;
  readonly combination: Float64Array;

  constructor(scores: Scores, costs: ExitCosts, images: ArrayLike<number>) {
    let right = 0;
    for (let i = 0; i < images.length; i++) {
      if (scores.original[images[i]!] === scores.labels[images[i]!]) right++;
    }
    this.right = right;
    this.#total = images.length * costs.at(-1)!;
    this.saved = new Float64Array(images.length + 1).fill(Number.NEGATIVE_INFINITY);
    this.combination = new Float64Array(images.length + 1);
  }

  /** @param gained right answers more than the original's @param saved FLOPs saved on all images together */
  offer(gained: number, saved: number, combination: number): void {
    const right = this.right + gained;
    if (saved > this.saved[right]!) {
      this.saved[right] = saved;
      this.combination[right] = combination;
    }
  }

  frontier(thresholds: (combination: number) => Thresholds): Pick<Frontier, 'points' | 'count'> {
    const count = this.saved.length - 1;
    const points: FrontierPoint[] = [];
    let most = Number.NEGATIVE_INFINITY;
    for (let correct = count; correct >= 0; correct--) {
      const saved = this.saved[correct]!;
      if (!(saved > most)) continue;
      most = saved;
      points.push({
        thresholds: thresholds(this.combination[correct]!),
        correct,
        accuracy: correct / count,
        flops: (this.#total - saved) / count,
      });
    }
    return { points, count };
  }
}

/** The best of these points; undefined if none reaches the required accuracy or keeps the budget. */
export function choosePoint(
  points: readonly FrontierPoint[],
  count: number,
  objective: Objective,
  costs: ExitCosts,
): FrontierPoint | undefined {
  let best: FrontierPoint | undefined;
  for (const point of points) {
    if (!meets(point, count, objective)) continue;
    if (best === undefined || isBetter(point, best, objective, costs)) best = point;
  }
  return best;
}

function meets(point: FrontierPoint, count: number, objective: Objective): boolean {
  if (objective.kind === 'accuracy') return point.correct >= leastCount(objective.required, count);
  return objective.kind === 'flops' ? point.flops <= objective.budget : true;
}

function isBetter(a: FrontierPoint, b: FrontierPoint, objective: Objective, costs: ExitCosts): boolean {
  if (objective.kind === 'accuracy') return a.flops < b.flops || (a.flops === b.flops && a.correct > b.correct);
  if (objective.kind === 'flops') return a.correct > b.correct || (a.correct === b.correct && a.flops < b.flops);
  const value = (point: FrontierPoint): number => point.accuracy - (objective.weight * point.flops) / costs.at(-1)!;
  return value(a) > value(b);
}
