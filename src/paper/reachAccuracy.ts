import type { ScoredRun } from '../run/analyses.js';
import { partsOf } from '../run/search.js';
import { combine, type Evaluation, evaluate, type Thresholds } from '../thresholds/evaluate.js';
import { paretoFrontier } from '../thresholds/frontier.js';
import { jointSearch } from '../thresholds/joint.js';

/** Thresholds that were chosen for an accuracy, one choice for each part, and what they do on the test images. */
export interface Reached {
  readonly thresholds: readonly Thresholds[];
  readonly evaluation: Evaluation;
}

/**
 * Searches the fewest FLOPs at an accuracy, all gates together, on the images that thresholds are chosen on.
 *
 * @param accuracies shares of images classified right, whatever the original network reaches
 * @returns one for each accuracy; undefined where no thresholds reach it on the images that choose
 */
export function reachAccuracies(run: ScoredRun, accuracies: readonly number[]): (Reached | undefined)[] {
  const { experiment, scores, features, plan } = run;
  const parts = partsOf(experiment, scores.test, scores.heldOut, features.test.classes);
  const frontiers = parts.map(({ selection }) => paretoFrontier(selection.scores, plan.costs, selection.images));
  return accuracies.map((required) => {
    const found = parts.map(({ selection }, i) => {
      const target = { kind: 'accuracy', required } as const;
      return jointSearch(selection.scores, plan.costs, selection.images, target, frontiers[i]);
    });
    const thresholds = found.flatMap((choice) => (choice === undefined ? [] : [choice.thresholds]));
    if (thresholds.length < parts.length) return undefined;
    const evaluations = parts.map(({ evaluation }, i) =>
      evaluate(evaluation.scores, thresholds[i]!, plan.costs, evaluation.images),
    );
    return { thresholds, evaluation: combine(evaluations) };
  });
}
