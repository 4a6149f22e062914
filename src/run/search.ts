import { stratifiedFolds } from '../data/dataset.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import { Random } from '../random.js';
import { type Interval, percentileInterval } from '../statistics/intervals.js';
import {
  type Changes,
  changesOf,
  combine,
  combineOutcomes,
  countOutcomes,
  type Evaluation,
  type ExitCosts,
  evaluate,
  type Intervals,
  outcomeIntervals,
  type Scores,
  type Thresholds,
} from '../thresholds/evaluate.js';
import { type Certified, certify, type Guarantee } from '../thresholds/guarantee.js';
import { jointSearch, type SearchMethod, searches, searchMethods } from '../thresholds/methods.js';

/** Images that choose thresholds, and other images that report them. */
export interface Part {
  readonly selection: { readonly scores: Scores; readonly images: Int32Array };
  readonly evaluation: { readonly scores: Scores; readonly images: Int32Array };
}

/** One row of the table: a choice of thresholds, reported on other images than it was chosen on. */
export interface Row {
  readonly kind: 'margin' | 'budget' | 'latency' | 'disagreement' | 'guarantee' | 'fixed';
  /** The requested accuracy margin below the original's, a share; of `margin` rows only. */
  readonly margin?: number;
  /** How thresholds were searched; of `margin` rows only. */
  readonly search?: SearchMethod;
  /** The requested average FLOPs, as a share of the original's; of `budget` rows only. */
  readonly budget?: number;
  /** The requested average milliseconds of an image, by the times of the exits; of `latency` rows only. */
  readonly latencyMs?: number;
  /** The allowed share of images with another answer than the original's; of `disagreement` rows only. */
  readonly disagreement?: number;
  /** The guarantee and the evidence of each part; of `guarantee` rows only. */
  readonly guarantee?: Guarantee & { readonly of: 'accuracy' | 'agreement'; readonly parts: readonly Certified[] };
  /** Thresholds for each part; equal for `fixed` rows. */
  readonly thresholds: readonly Thresholds[];
  readonly evaluation: Evaluation;
  /** On the choosing images of all parts; not of `fixed` rows. */
  readonly validation?: Evaluation;
  /** 95 % intervals over the draw of the reported images, thresholds fixed. */
  readonly intervals: Intervals;
  /** 95 % intervals that include the choice of thresholds; only with `resamples`. */
  readonly chosenAgain?: ChosenAgain;
  /** How its answers differ from the original's, on the reported images. */
  readonly changes: Changes;
}

/** Intervals over the draws of choosing and reported images. */
export interface ChosenAgain {
  readonly accuracyDrop: Interval;
  /** Average FLOPs per image. */
  readonly flops: Interval;
}

/**
 * The parts of an experiment. Held-out images choose for all test images; in cross-fitting, each fold of the test images reports
 * thresholds chosen on the other folds.
 */
export function partsOf(experiment: Experiment, test: Scores, heldOut: Scores | undefined, classes: number): Part[] {
  const { validation } = experiment.thresholds;
  if (validation.kind === 'held-out') {
    if (heldOut === undefined) throw new Error('held-out validation without scores');
    return [{ selection: all(heldOut), evaluation: all(test) }];
  }
  const strata = isOfAgreement(experiment.thresholds) ? test.original : test.labels;
  const folds = stratifiedFolds(strata, classes, validation.folds, experiment.seed);
  return folds.map((fold, index) => ({
    selection: { scores: test, images: concatenate(folds.filter((_, other) => other !== index)) },
    evaluation: { scores: test, images: fold },
  }));
}

/** Whether rows are asked for, and none of them needs labels. */
export function isOfAgreement(thresholds: Experiment['thresholds']): boolean {
  const { margins, budgets = [], latencyMs = [], disagreements = [], fixed, guarantee } = thresholds;
  const ofAgreement = disagreements.length > 0 || guarantee?.disagreement !== undefined;
  const ofAccuracy =
    margins.length + budgets.length + latencyMs.length + fixed.length > 0 || guarantee?.drop !== undefined;
  return ofAgreement && !ofAccuracy;
}

/**
 * The rows of an experiment: each margin by each search, then budgets, time budgets, the guarantee, and fixed thresholds.
 *
 * @param original FLOPs of the original network, the unit of budgets; by default those of the last exit
 * @param exitMs milliseconds of an image by its exit, for rows with a time budget
 * @throws InputError if no thresholds keep a budget
 */
export function searchAndEvaluate(
  experiment: Experiment,
  parts: readonly Part[],
  costs: ExitCosts,
  original = costs.at(-1)!,
  exitMs: ExitCosts = [],
): Row[] {
  const { margins, budgets = [], disagreements = [], fixed, search, guarantee } = experiment.thresholds;
  const { latencyMs: latencies = [] } = experiment.thresholds;
  const methods = searchMethods.filter((method) => search.includes(method));
  // Prepared once for all margins.
  const prepared = methods.map((method) => ({
    method,
    parts: (margins.length === 0 ? [] : parts).map(({ selection: { scores, images } }) => ({
      search: searches[method].on(scores, costs, images),
      original: originalAccuracy(scores, images),
    })),
  }));
  const report = (row: Omit<Row, 'evaluation' | 'intervals' | 'changes'>): Row => {
    return { ...row, ...reportOn(parts, row.thresholds, costs) };
  };
  const chosen = (row: Omit<Row, 'evaluation' | 'intervals' | 'changes' | 'validation'>): Row => {
    const validation = parts.map(({ selection: { scores, images } }, i) =>
      evaluate(scores, row.thresholds[i]!, costs, images),
    );
    return report({ ...row, validation: combine(validation) });
  };
  /** The thresholds that answer the most choosing images right at an average cost. */
  const within = (spent: ExitCosts, budget: number, key: string, unit: number, of: string): Thresholds[] =>
    parts.map(({ selection: { scores, images } }) => {
      const found = jointSearch(scores, spent, images, { kind: 'flops', budget });
      if (found !== undefined) return found.thresholds;
      const least = `the first exit alone costs ${+(spent[0]! / unit).toPrecision(3)} ${of}; try more`;
      throw new InputError(`thresholds.${key}: ${+(budget / unit).toPrecision(9)}: ${least}`);
    });
  const searched = margins.flatMap((margin) =>
    prepared.map(({ method, parts }): Row => {
      const thresholds = parts.map(({ search, original }) => search(original - margin));
      return chosen({ kind: 'margin', margin, search: method, thresholds });
    }),
  );
  const budgeted = budgets.map((budget): Row => {
    const thresholds = within(costs, budget * original, 'budgets', original, 'of the original');
    return chosen({ kind: 'budget', budget, search: 'joint', thresholds });
  });
  const quick = latencies.map((latency): Row => {
    return chosen({ kind: 'latency', latencyMs: latency, thresholds: within(exitMs, latency, 'latencyMs', 1, 'ms') });
  });
  const agreeing = disagreements.map((disagreement): Row => {
    const thresholds = parts.map(({ selection }) => {
      return searches.joint.on(withoutLabels(selection.scores), costs, selection.images)(1 - disagreement);
    });
    return chosen({ kind: 'disagreement', disagreement, search: 'joint', thresholds });
  });
  const guaranteed = (guarantee === undefined ? [] : [guarantee]).map(
    ({ drop, disagreement, confidence, method = 'exact' }): Row => {
      const promised = { drop: drop ?? disagreement!, confidence, method };
      const of = drop === undefined ? 'agreement' : 'accuracy';
      const certified = parts.map(({ selection }, part) => {
        const scores = of === 'agreement' ? withoutLabels(selection.scores) : selection.scores;
        return certify(scores, costs, selection.images, promised, experiment.seed + part);
      });
      const thresholds = certified.map((part) => part.thresholds);
      return chosen({ kind: 'guarantee', guarantee: { ...promised, of, parts: certified }, thresholds });
    },
  );
  const given = fixed.map((row) => report({ kind: 'fixed', thresholds: parts.map(() => row) }));
  return [...searched, ...budgeted, ...quick, ...agreeing, ...guaranteed, ...given];
}

/** Scores with the original's answers as labels: accuracy becomes agreement with the original. */
export const withoutLabels = (scores: Scores): Scores => ({ ...scores, labels: scores.original });

/** Adds bootstrap intervals over both samples to the rows of margins and budgets. */
export function withChosenAgain(
  rows: readonly Row[],
  experiment: Experiment,
  parts: readonly Part[],
  costs: ExitCosts,
  original: number,
  exitMs?: ExitCosts,
): Row[] {
  const { resamples } = experiment.thresholds;
  if (resamples === undefined) return [...rows];
  const searchedOnly = { ...experiment.thresholds, fixed: [], guarantee: undefined, resamples: undefined };
  const random = new Random(experiment.seed, 'choosing again');
  const replicates = Array.from({ length: resamples }, () => {
    const drawn = drawParts(random, parts);
    const images = drawn.reduce((sum, { evaluation }) => sum + evaluation.images.length, 0);
    const right = drawn.reduce((sum, { evaluation: { scores, images } }) => {
      return sum + originalAccuracy(scores, images) * images.length;
    }, 0);
    return searchAndEvaluate({ ...experiment, thresholds: searchedOnly }, drawn, costs, original, exitMs).map(
      ({ evaluation: { accuracy, flops } }) => ({ drop: right / images - accuracy, flops }),
    );
  });
  return rows.map((row, i) => {
    if (row.kind === 'guarantee' || row.kind === 'fixed') return row;
    const interval = (of: 'drop' | 'flops') => {
      const values = replicates.map((all) => all[i]![of]);
      return percentileInterval(values, 0.95);
    };
    return { ...row, chosenAgain: { accuracyDrop: interval('drop'), flops: interval('flops') } };
  });
}

/** Draws choosing and reported images with replacement; in cross-fitting, each fold. */
function drawParts(random: Random, parts: readonly Part[]): Part[] {
  const draw = (images: Int32Array): Int32Array => images.map(() => images[random.below(images.length)]!);
  const reported = parts.map(({ evaluation }) => draw(evaluation.images));
  return parts.map(({ selection, evaluation }, i) => {
    const chosenOn =
      parts.length === 1 ? draw(selection.images) : concatenate(reported.filter((_, other) => other !== i));
    return { selection: { ...selection, images: chosenOn }, evaluation: { ...evaluation, images: reported[i]! } };
  });
}

/** Evaluates each part's thresholds on its reported images, all parts together. */
export function reportOn(
  parts: readonly Part[],
  thresholds: readonly Thresholds[],
  costs: ExitCosts,
): Pick<Row, 'evaluation' | 'intervals' | 'changes'> {
  const own = parts.map(({ evaluation }, i) => ({ ...evaluation, thresholds: thresholds[i]! }));
  const evaluation = combine(own.map((part) => evaluate(part.scores, part.thresholds, costs, part.images)));
  const counts = combineOutcomes(own.map((part) => countOutcomes(part.scores, part.thresholds, part.images)));
  return { evaluation, intervals: outcomeIntervals(counts, costs), changes: changesOf(own) };
}

/** Share of the images that the original classifier gets right. @param images all by default */
export function originalAccuracy(scores: Scores, images: ArrayLike<number> = all(scores).images): number {
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
