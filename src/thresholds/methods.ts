import { leastCount } from '../statistics/intervals.js';
import { type Evaluation, type ExitCosts, evaluate, exitOf, type Scores, type Thresholds } from './evaluate.js';
import {
  choosePoint,
  type Frontier,
  type FrontierPoint,
  gridFrontier,
  type Objective,
  paretoFrontier,
} from './frontier.js';
import { achievableLevels, levelsAround, levelsWithin, quantileLevels, turnsOf } from './grid.js';

/** Search methods for a required accuracy, in the order of tables. The first three read section 3.1 of the paper. */
export const searchMethods = ['sequential', 'lookahead', 'coordinate', 'joint'] as const;
export type SearchMethod = (typeof searchMethods)[number];

/** Prepares a search on images. The result finds thresholds for a share of them classified right. */
type On = (scores: Scores, costs: ExitCosts, images: ArrayLike<number>) => (required: number) => Thresholds;

/** @param required share of the images to be classified correctly, 0 to 1 */
type Search = (scores: Scores, costs: ExitCosts, images: ArrayLike<number>, required: number) => Thresholds;

interface SearchKind {
  /** For a cell of a table. */
  readonly short: string;
  readonly words: string;
  readonly on: On;
}

export const searches: Readonly<Record<SearchMethod, SearchKind>> = {
  sequential: {
    short: 'seq.',
    words: 'sequential, gate after gate, each with the whole margin',
    on: (scores, costs, images) => (required) => sequentialSearch(scores, costs, images, required),
  },
  lookahead: {
    short: 'look.',
    words: 'lookahead, gate after gate, each for the fewest FLOPs once the gates after it are chosen too',
    on: (scores, costs, images) => (required) => lookaheadSearch(scores, costs, images, required),
  },
  coordinate: {
    short: 'coord.',
    words: 'coordinate, gate after gate with the others as they are, until nothing changes',
    on: (scores, costs, images) => (required) => coordinateSearch(scores, costs, images, required),
  },
  joint: {
    short: 'joint',
    words: 'joint, all gates together',
    // All gates closed where nothing reaches the accuracy.
    on: (scores, costs, images) => {
      const frontier = paretoFrontier(scores, costs, images);
      return (required) =>
        jointSearch(scores, costs, images, { kind: 'accuracy', required }, frontier)?.thresholds ??
        costs.slice(1).map(() => Number.POSITIVE_INFINITY);
    },
  },
};

/** Combinations of one refinement step: a few milliseconds. */
const STEP_COMBINATIONS = 60_000;
const MOST_STEPS = 30;

/**
 * The best thresholds of all gates together for an objective on these images: the best point of the frontier, refined
 * over every achievable threshold around it if there are three or more gates. For a required accuracy the paper's
 * sequential choice is a candidate too, so that the result is never worse than it on these images.
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param frontier of the same images, if already computed
 * @returns undefined if no thresholds reach the required accuracy or keep the budget
 */
export function jointSearch(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  objective: Objective,
  frontier: Frontier = paretoFrontier(scores, costs, images),
): FrontierPoint | undefined {
  const best = choosePoint(frontier.points, frontier.count, objective, costs);
  if (frontier.exact) return best;
  const sequential =
    objective.kind === 'accuracy'
      ? [pointOf(scores, costs, images, sequentialSearch(scores, costs, images, objective.required))]
      : [];
  const start = choosePoint([...(best === undefined ? [] : [best]), ...sequential], images.length, objective, costs);
  // Levels of each gate that had any in the grid of the start
  const gates = costs.length - 1;
  const levels = frontier.combinations ** (1 / Math.ceil(gates / turnsOf(gates)));
  return start && refine(scores, costs, images, objective, start, levels);
}

/** These thresholds as a point: their accuracy and FLOPs on these images. */
export function pointOf(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  thresholds: Thresholds,
): FrontierPoint {
  const { correct, accuracy, flops } = evaluate(scores, thresholds, costs, images);
  return { thresholds, correct, accuracy, flops };
}

/**
 * Searches ever finer grids around a point, until a grid of every achievable threshold near it finds nothing better.
 * The result is a local optimum. More than 10 gates take turns, the others as they are.
 */
function refine(
  scores: Scores,
  costs: ExitCosts,
  images: ArrayLike<number>,
  objective: Objective,
  start: FrontierPoint,
  levels: number,
): FrontierPoint {
  const gates = start.thresholds.length;
  const all = start.thresholds.map((_, gate) => achievableLevels(scores.confidences[gate]!, images));
  const turns = turnsOf(gates);
  const most = Math.max(3, levelsWithin(STEP_COMBINATIONS, gates));
  let reach = (4 * Math.max(...all.map((of) => of.length))) / levels;
  let best = start;
  for (let step = 0, vain = 0; step < turns * MOST_STEPS && vain < turns; step++) {
    const around = all.map((of, gate) => {
      const threshold = best.thresholds[gate]!;
      return (gate - step) % turns === 0 ? levelsAround(of, threshold, reach, most) : Float64Array.of(threshold);
    });
    const near = gridFrontier(scores, costs, images, around);
    const found = choosePoint([best, ...near.points], images.length, objective, costs) ?? best;
    const finest = 2 * reach <= most - 1;
    vain = finest && found === best ? vain + 1 : 0;
    best = found;
    if (!finest && (step + 1) % turns === 0) reach /= 3;
  }
  return best;
}

/**
 * Thresholds chosen one gate after the other, each with the whole margin: each gate in turn gets the threshold of lowest
 * average FLOPs at which the network still classifies enough images correctly, with earlier gates fixed and later gates
 * closed. FLOPs fall with the threshold, so the search takes the lowest achievable threshold that is good enough. A
 * gate whose every threshold breaks the requirement is closed (Infinity).
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param required share of `images` to be classified correctly, 0 to 1
 */
export const sequentialSearch: Search = (scores, costs, images, required) =>
  new GateOrders(scores, costs, images, required).complete([]);

/** Selection images in the order in which they leave each gate, to choose the threshold of one gate at a time. */
class GateOrders {
  readonly #scores: Scores;
  readonly #images: ArrayLike<number>;
  /** Per gate, images by descending confidence; those with NaN never leave and are left out. */
  readonly #orders: readonly Int32Array[];
  /** Fewest images to be classified right. */
  readonly needed: number;

  /** @param required share of `images` to be classified correctly, 0 to 1 */
  constructor(scores: Scores, costs: ExitCosts, images: ArrayLike<number>, required: number) {
    this.#scores = scores;
    this.#images = images;
    this.needed = leastCount(required, images.length);
    this.#orders = costs.slice(0, -1).map((_, gate) => {
      const confidences = scores.confidences[gate]!;
      const numbers = Int32Array.from(images).filter((image) => !Number.isNaN(confidences[image]!));
      return numbers.sort((a, b) => confidences[b]! - confidences[a]!);
    });
  }

  /** All thresholds: those of the first gates as given, then gate after gate the lowest one, later gates closed. */
  complete(first: Thresholds): Thresholds {
    const all = this.#orders.map((_, gate) => first[gate] ?? Number.POSITIVE_INFINITY);
    for (let gate = first.length; gate < all.length; gate++) all[gate] = this.lowest(all, gate);
    return all;
  }

  /** The lowest threshold of a gate, the others as they are, at which enough images are right; else Infinity. */
  lowest(thresholds: Thresholds, gate: number): number {
    const { classes, confidences, original, labels, count } = this.#scores;
    const closed = thresholds.with(gate, Number.POSITIVE_INFINITY);
    const [gains, gone] = [new Int8Array(count), new Uint8Array(count)];
    let right = 0;
    for (let i = 0; i < this.#images.length; i++) {
      const image = this.#images[i]!;
      const exit = exitOf(this.#scores, closed, image);
      const passed = Number((classes[exit] ?? original)[image] === labels[image]);
      right += passed;
      if (exit < gate) gone[image] = 1;
      else gains[image] = Number(classes[gate]![image] === labels[image]) - passed;
    }
    let [best, last] = [Number.POSITIVE_INFINITY, Number.NaN];
    for (const image of this.#orders[gate]!) {
      if (gone[image] === 1) continue;
      const confidence = confidences[gate]![image]!;
      // Images of equal confidence leave together, so a threshold is achievable only between different confidences.
      if (confidence < last && right >= this.needed) best = last;
      right += gains[image]!;
      last = confidence;
    }
    return right >= this.needed && !Number.isNaN(last) ? last : best;
  }
}

/**
 * Coordinate passes: from closed gates, each gate in turn gets the threshold of lowest average FLOPs at the required
 * accuracy, all other gates as they are, again and again until nothing changes. The first pass is the sequential search;
 * thresholds only fall, so it ends.
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param required share of `images` to be classified correctly, 0 to 1
 */
export const coordinateSearch: Search = (scores, costs, images, required) => {
  const orders = new GateOrders(scores, costs, images, required);
  let thresholds = orders.complete([]);
  for (;;) {
    const before = thresholds;
    for (const gate of before.keys()) thresholds = thresholds.with(gate, orders.lowest(thresholds, gate));
    if (thresholds.every((t, gate) => t === before[gate])) return thresholds;
  }
};

/** Thresholds tried at a gate: quantiles of the confidences. */
const MOST_LEVELS = 400;

/**
 * Thresholds chosen one gate after the other, each for the fewest average FLOPs of the finished network at the required
 * accuracy: every threshold of a gate is tried with the gates before it fixed and those after it completed by the
 * sequential search. So a gate leaves a part of the margin to later gates where that saves more.
 *
 * @param images positions of the selection images, disjoint from the evaluation images
 * @param required share of `images` to be classified correctly, 0 to 1
 */
function lookaheadSearch(scores: Scores, costs: ExitCosts, images: ArrayLike<number>, required: number): Thresholds {
  const orders = new GateOrders(scores, costs, images, required);
  let best = orders.complete([]);
  let found = evaluate(scores, best, costs, images);
  const isBetter = ({ correct, flops }: Evaluation): boolean =>
    correct >= orders.needed && (flops < found.flops || (flops === found.flops && correct > found.correct));
  for (let gate = 0; gate < best.length - 1; gate++) {
    const before = best.slice(0, gate);
    for (const level of quantileLevels(achievableLevels(scores.confidences[gate]!, images), MOST_LEVELS)) {
      const tried = orders.complete([...before, level]);
      const result = evaluate(scores, tried, costs, images);
      if (isBetter(result)) [best, found] = [tried, result];
    }
  }
  return best;
}
