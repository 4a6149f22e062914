import { stratifiedFolds } from '../data/splits.js';
import type { Experiment } from '../experiment/schema.js';
import {
  combine,
  type Evaluation,
  type ExitCosts,
  evaluate,
  type Scores,
  type Thresholds,
} from '../thresholds/evaluate.js';
import { sequentialSearch } from '../thresholds/sequential.js';

/** Images that thresholds are chosen on, and images that they are reported on; never the same ones. */
export interface Part {
  readonly choose: { readonly scores: Scores; readonly images: Int32Array };
  readonly report: { readonly scores: Scores; readonly images: Int32Array };
}

/** One row of the table: a choice of thresholds, and what it does on the images that it was not chosen on. */
export interface Row {
  readonly kind: 'margin' | 'fixed';
  /** The accuracy margin that was asked for (share, below the original's); absent for fixed thresholds. */
  readonly margin?: number;
  /** Thresholds for each part; the same for every part where they are fixed. */
  readonly thresholds: readonly Thresholds[];
  readonly evaluation: Evaluation;
}

/**
 * The parts of an experiment: with held-out images, these choose and all test images report; in cross-fitting, each
 * fold of the test images reports with thresholds chosen on the other folds.
 */
export function partsOf(experiment: Experiment, test: Scores, heldOut: Scores | undefined, classes: number): Part[] {
  const { validation } = experiment.thresholds;
  if (validation.kind === 'held-out') {
    if (heldOut === undefined) throw new Error('held-out validation without scores');
    return [{ choose: all(heldOut), report: all(test) }];
  }
  const folds = stratifiedFolds(test.labels, classes, validation.folds, experiment.seed);
  return folds.map((fold, index) => ({
    choose: { scores: test, images: concatenate(folds.filter((_, other) => other !== index)) },
    report: { scores: test, images: fold },
  }));
}

/** Every row of the experiment: margins first, then fixed thresholds. */
export function searchAndEvaluate(experiment: Experiment, parts: readonly Part[], costs: ExitCosts): Row[] {
  const { margins, fixed } = experiment.thresholds;
  const searched = margins.map((margin): Row => {
    const thresholds = parts.map(({ choose }) => {
      const original = originalAccuracy(choose.scores, choose.images);
      return sequentialSearch(choose.scores, costs, choose.images, original - margin);
    });
    return { kind: 'margin', margin, thresholds, evaluation: evaluateParts(parts, thresholds, costs) };
  });
  const given = fixed.map((row): Row => {
    const thresholds = parts.map(() => row);
    return { kind: 'fixed', thresholds, evaluation: evaluateParts(parts, thresholds, costs) };
  });
  return [...searched, ...given];
}

function evaluateParts(parts: readonly Part[], thresholds: readonly Thresholds[], costs: ExitCosts): Evaluation {
  return combine(parts.map(({ report }, i) => evaluate(report.scores, thresholds[i]!, costs, report.images)));
}

/** Share of the images that the original classifier gets right. */
export function originalAccuracy(scores: Scores, images: ArrayLike<number>): number {
  let correct = 0;
  for (let i = 0; i < images.length; i++) if (scores.original[images[i]!] === scores.labels[images[i]!]) correct++;
  return correct / images.length;
}

function all(scores: Scores): { scores: Scores; images: Int32Array } {
  return { scores, images: Int32Array.from({ length: scores.count }, (_, i) => i) };
}

function concatenate(lists: readonly Int32Array[]): Int32Array {
  return Int32Array.from(lists.flatMap((list) => [...list])).sort();
}
