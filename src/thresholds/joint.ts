import { type ExitCosts, evaluate, type Scores, type Thresholds } from './evaluate.js';
import {
  choosePoint,
  type Frontier,
  type FrontierPoint,
  gridFrontier,
  type Objective,
  paretoFrontier,
} from './frontier.js';
import { achievableLevels, levelsAround, levelsWithin, turnsOf } from './grid.js';
import { sequentialSearch } from './sequential.js';

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
