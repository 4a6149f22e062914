import { type ExitCosts, evaluate, type Scores, type Thresholds } from './evaluate.js';
import {
  choosePoint,
  type Frontier,
  type FrontierPoint,
  gridFrontier,
  type Objective,
  paretoFrontier,
} from './frontier.js';
import { achievableLevels, levelsAround } from './grid.js';
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
  // Levels of each gate in the grid of the start
  const levels = frontier.combinations ** (1 / (costs.length - 1));
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
 * The result is a local optimum.
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
  const most = Math.max(3, Math.floor(STEP_COMBINATIONS ** (1 / gates)));
  let reach = (4 * Math.max(...all.map((of) => of.length))) / levels;
  let best = start;
  for (let step = 0; step < MOST_STEPS; step++) {
    const around = all.map((of, gate) => levelsAround(of, best.thresholds[gate]!, reach, most));
    const near = gridFrontier(scores, costs, images, around);
    const found = choosePoint([best, ...near.points], images.length, objective, costs) ?? best;
    const finest = 2 * reach <= most - 1;
    if (finest && found === best) return best;
    best = found;
    if (!finest) reach /= 3;
  }
  return best;
}
