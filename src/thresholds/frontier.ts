import { leastCount } from '../statistics/intervals.js';
import type { ExitCosts, Scores, Thresholds } from './evaluate.js';
import {
  achievableLevels,
  gainOf,
  gridLevels,
  type Levels,
  levelsOf,
  levelsWithin,
  makeGrid,
  savingOf,
} from './grid.js';

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
 * thresholds. More gates, or too many pairs: over a grid of quantiles, of a million combinations at most (`gridLevels`);
 * `jointSearch` refines it.
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
  return gridFrontier(scores, costs, images, gridLevels(all, levels ?? defaultLevels(gates)), all);
}

/** How many levels a gate has in a grid: a million combinations at most. */
export function defaultLevels(gates: number): number {
  if (gates <= 1) return 1_000_000;
  if (gates === 2) return 1000;
  return gates === 3 ? 100 : levelsWithin(1e6, gates);
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
 * levels of the remaining images. A few instructions per pair, however many images share a level.
 */
function exactPairs(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  [first, second]: readonly [Levels, Levels],
): Frontier {
  const best = new Best(scores, costs, images);
  const [saving1, saving2] = [savingOf(costs, 0), savingOf(costs, 1)];
  const [atFirst, atSecond] = [first, second].map((of, gate) => levelsOf(of, scores.confidences[gate]!, images));
  const leaving = Int32Array.from(atFirst!.keys()).sort((a, b) => atFirst![a]! - atFirst![b]!);
  // Levels of the second gate, ascending, where each of them is in the list, and sums over the remaining images that reach it.
  const levels = Int32Array.from({ length: second.length }, (_, level) => level);
  const places = levels.slice();
  const [gains, counts] = [new Int32Array(second.length), new Int32Array(second.length)];
  let [length, empty] = [second.length, 0];
  const add = (position: number, sign: 1 | -1): void => {
    const place = places[atSecond![position]!];
    if (place === undefined) return; // reaches no level, never leaves
    gains[place]! += sign * gainOf(scores, 1, images[position]!);
    counts[place]! += sign;
    if (counts[place] === 0) empty++;
  };
  for (const position of leaving) add(position, 1);
  let [gone, gained, pairs] = [0, 0, 0];
  const mostSaved = best.saved;
  for (let l1 = 0; l1 < first.length; l1++) {
    for (; gone < leaving.length && atFirst![leaving[gone]!]! <= l1; gone++) {
      gained += gainOf(scores, 0, images[leaving[gone]!]!);
      add(leaving[gone]!, -1);
    }
    if (8 * empty > length) {
      let kept = 1; // level 0 is the closed gate
      for (let i = 1; i < length; i++) {
        if (counts[i] === 0) continue;
        for (const of of [levels, gains, counts]) of[kept] = of[i]!;
        places[levels[kept]!] = kept++;
      }
      [length, empty] = [kept, 0];
    }
    const code = l1 * second.length;
    let [right, saved] = [best.right + gained, gone * saving1];
    for (let i = 0; i < length; i++) {
      right += gains[i]!;
      saved += counts[i]! * saving2;
      // This is `offer`, inlined: it runs a hundred million times.
      if (saved > mostSaved[right]!) {
        mostSaved[right] = saved;
        best.combination[right] = code + levels[i]!;
      }
    }
    pairs += length;
  }
  const thresholds = (code: number) => [first[Math.floor(code / second.length)]!, second[code % second.length]!];
  return { ...best.frontier(thresholds), combinations: pairs, exact: true };
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

/** Lower by more than sums of fractional costs, such as times, are rounded. */
export const isLess = (a: number, b: number): boolean => a < b * (1 - 1e-12);

function meets(point: FrontierPoint, count: number, objective: Objective): boolean {
  if (objective.kind === 'accuracy') return point.correct >= leastCount(objective.required, count);
  return objective.kind === 'flops' ? !isLess(objective.budget, point.flops) : true;
}

function isBetter(a: FrontierPoint, b: FrontierPoint, objective: Objective, costs: ExitCosts): boolean {
  if (objective.kind === 'accuracy')
    return isLess(a.flops, b.flops) || (!isLess(b.flops, a.flops) && a.correct > b.correct);
  if (objective.kind === 'flops') return a.correct > b.correct || (a.correct === b.correct && isLess(a.flops, b.flops));
  const value = (point: FrontierPoint): number => point.accuracy - (objective.weight * point.flops) / costs.at(-1)!;
  return value(a) > value(b);
}
