import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { choice, list, real, whole } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { confidenceKinds, ownKinds } from '../gates/confidence.js';
import { lossNames, solvers, withPasses } from '../gates/loss.js';
import { counted, points } from '../json.js';
import type { Figure, Findings, FindingTable } from '../report/findings.js';
import { plan } from '../run/plan.js';
import { originalAccuracy, type Part } from '../run/search.js';
import { type ScoredRun, scoredParts } from '../run/stages.js';
import { adaptiveCalibrationError, areaUnderRoc, holm, pairedPValue } from '../statistics/comparisons.js';
import { mean, pairedInterval } from '../statistics/intervals.js';
import { answersAt, evaluate, exitOf, type Scores } from '../thresholds/evaluate.js';
import { paretoFrontier } from '../thresholds/frontier.js';
import { jointSearch } from '../thresholds/methods.js';
import { axis, defineAnalysis, ends, isRightAt, tableOf } from './analysis.js';

const policy = z.strictObject(
  {
    /** What training minimises. */
    loss: choice(lossNames),
    /** What is compared with the threshold. */
    confidence: choice(confidenceKinds),
    /** lambda; the experiment's by default. */
    l2: real(1e-12, 1e3).optional(),
    /** How training images count, as `gates.weights`. Default `equal`. */
    weights: choice(['equal', 'survivors']).optional(),
    /** As `gates.previous`. Default false. */
    previous: z.boolean({ error: 'true or false' }).optional(),
    /** As `gates.solver`; by default the experiment's with its loss, `optimum` with the other. */
    solver: choice(solvers).optional(),
    /** A threshold for each predicted class, as `thresholds.perClass`. Default false. */
    perClass: z.boolean({ error: 'true or false' }).optional(),
  },
  { error: "an object: { loss: 'hinge', confidence: 'difference' }" },
);
type Policy = z.output<typeof policy>;

/** The paper's gates first. */
const tried: Policy[] = lossNames.flatMap((loss) => ownKinds.map((confidence) => ({ loss, confidence })));

const marginList = 'a list of margins: [0.002, 0.005]';
const options = z.strictObject({
  kind: z.literal('policies'),
  /** What is tried; the others are compared with the first. Default: both losses, each with the confidences of one exit. */
  policies: list(policy, 'a list of policies').min(2, { error: 'at least two policies' }).default(tried),
  /** Accuracies to reach, as shares below the original's. */
  margins: list(real(0, 0.5), marginList).min(1, { error: marginList }).default([0.002, 0.005, 0.007, 0.01]),
  /** How many seeds of stochastic training and of the folds, from the experiment's on. Default 3. */
  seeds: whole(1, 1000).default(3),
});
type Options = z.output<typeof options>;

/** The margins whose mean saving is the area under the curve of FLOPs saved against points lost. */
const AREA_MARGINS = Array.from({ length: 9 }, (_, i) => i * 0.0025);

/**
 * Losses and confidences of gates beside the paper's, on the same features and images: thresholds of the joint search at
 * each margin, differences paired by image, p-values corrected for the number of comparisons, and what would have been taken
 * by the choosing images alone.
 */
export const policies = defineAnalysis({
  options,
  async compute(run, asked): Promise<Findings> {
    const margins = [...new Set([...asked.margins, ...AREA_MARGINS])];
    const seeds = Array.from({ length: asked.seeds }, (_, i) => run.experiment.seed + i);
    const outcomes: Outcome[] = [];
    for (const one of asked.policies) outcomes.push(await outcomeOf(run, one, seeds, margins));
    const all = [...outcomes, bestOf(outcomes, asked.margins)];
    return {
      tables: [policyTable(all, asked, run), areaTable(all), gateTable(outcomes)],
      figures: [figureOf(all, run, seeds)],
      sheets: [],
    };
  },
});

type Chosen = ReturnType<typeof chosenFor>;

interface Outcome {
  readonly name: string;
  /** By seed, part and margin. */
  readonly chosen: readonly (readonly ReadonlyMap<number, Chosen>[])[];
  /** Means over the seeds, on the test images. */
  readonly gates: ReturnType<typeof qualityOf>;
  /** The mean over the seeds; absent of a choice among policies. */
  readonly oracle?: ReturnType<typeof oracleOf>;
}

const nameOf = ({ loss, solver, confidence, l2, weights, previous, perClass }: Policy): string =>
  [loss, solver, confidence, l2 && `lambda ${l2}`, weights, previous && 'previous', perClass && 'by class']
    .filter(Boolean)
    .join(', ');

/** An experiment whose gates are trained in this way; solver and passes are those of its loss. */
function trainedAs({ gates, thresholds, ...experiment }: Experiment, policy: Policy, seed: number): Experiment {
  const { solver = policy.loss === gates.loss ? gates.solver : 'optimum', l2 = gates.l2, perClass, ...own } = policy;
  const epochs = own.loss === gates.loss && solver === gates.solver ? gates.epochs : undefined;
  const trained = withPasses({ ...gates, weights: undefined, previous: undefined, ...own, solver, l2, epochs });
  return { ...experiment, seed, gates: trained, thresholds: { ...thresholds, perClass } };
}

/** Trains, scores and searches a policy with every seed. */
async function outcomeOf(
  run: ScoredRun,
  policy: Policy,
  seeds: readonly number[],
  margins: readonly number[],
): Promise<Outcome> {
  const context = { ...run.context, progress: { ...run.context.progress, note: () => {} } };
  const chosen: ReadonlyMap<number, Chosen>[][] = [];
  const qualities: ReturnType<typeof qualityOf>[] = [];
  const oracles: ReturnType<typeof oracleOf>[] = [];
  const { gates, thresholds } = trainedAs(run.experiment, policy, 0);
  // No seed changes gates at their optimum, nor held-out images.
  const isOne =
    gates.solver === 'optimum' && thresholds.validation.kind === 'held-out' && thresholds.guarantee === undefined;
  for (const seed of isOne ? seeds.slice(0, 1) : seeds) {
    const as = trainedAs(run.experiment, policy, seed);
    const gates = await run.train(as, undefined, context);
    const planned = await plan(as);
    const score: ScoredRun['score'] = (gates, confidence) => run.score(gates, confidence, context);
    const { scores, parts } = await scoredParts({ ...run, experiment: as, score }, gates);
    chosen.push(parts.map((part) => new Map(margins.map((margin) => [margin, chosenFor(part, planned, margin)]))));
    qualities.push(qualityOf(nameOf(policy), scores.test, (await score(gates, 'softmax')).test));
    oracles.push(oracleOf(scores.test, planned));
  }
  const means = <Key extends string>(all: readonly Readonly<Record<Key, number>>[], ...keys: readonly Key[]) =>
    Object.fromEntries(keys.map((key) => [key, mean(all.map((of) => of[key]))])) as Record<Key, number>;
  return {
    name: nameOf(policy),
    chosen: seeds.map((_, i) => chosen[i] ?? chosen[0]!),
    gates: qualities[0]!.map((first, gate) => {
      const own = qualities.map((of) => of[gate]!);
      return { ...first, ...means(own, 'accuracy', 'calibration', 'auroc') };
    }),
    oracle: means(oracles, 'accuracy', 'saved'),
  };
}

/** Frontiers of choosing images, searched once for all margins. */
const frontiers = new WeakMap<Part, ReturnType<typeof paretoFrontier>>();

/**
 * What thresholds of one part do at a margin, as shares of the original's FLOPs saved: on its choosing images, and by each image
 * that it reports. `lost` is the original right minus the gated network right, of each of these.
 */
function chosenFor(part: Part, { costs, flops: { flops: original } }: ScoredRun['plan'], margin: number) {
  const { selection, evaluation } = part;
  const frontier = frontiers.get(part) ?? paretoFrontier(selection.scores, costs, selection.images);
  frontiers.set(part, frontier);
  const required = originalAccuracy(selection.scores, selection.images) - margin;
  const found = jointSearch(selection.scores, costs, selection.images, { kind: 'accuracy', required }, frontier);
  const thresholds = found?.thresholds ?? costs.slice(1).map(() => Number.POSITIVE_INFINITY);
  const { scores, images } = evaluation;
  const exits = Int32Array.from(images, (image) => exitOf(scores, thresholds, image));
  const right = (exit: number, image: number): number => Number(isRightAt(scores, exit, image));
  return {
    images,
    choosing: 1 - evaluate(selection.scores, thresholds, costs, selection.images).flops / original,
    saved: Float64Array.from(exits, (exit) => 1 - costs[exit]! / original),
    lost: Float64Array.from(exits, (exit, i) => right(costs.length - 1, images[i]!) - right(exit, images[i]!)),
  };
}

/** How well each gate's confidence tells right answers from wrong ones. @param softmax the same gates' scores by softmax */
const qualityOf = (policy: string, scores: Scores, softmax: Scores) =>
  scores.confidences.map((confidences, gate) => {
    const isRight = (image: number): boolean => isRightAt(scores, gate, image);
    return {
      policy,
      gate: gate + 1,
      accuracy: originalAccuracy({ ...scores, original: scores.classes[gate]! }),
      calibration: adaptiveCalibrationError(softmax.confidences[gate]!, isRight),
      auroc: areaUnderRoc(confidences, isRight),
    };
  });

/** The best that thresholds could do: every image leaves at the first exit that is right. `saved` is a share of the FLOPs. */
function oracleOf(scores: Scores, { costs, flops: { flops } }: ScoredRun['plan']) {
  let [right, spent] = [0, 0];
  for (let image = 0; image < scores.count; image++) {
    const exit = costs.findIndex((_, i) => answersAt(scores, i)[image] === scores.labels[image]);
    right += Number(exit >= 0);
    spent += costs.at(exit)!;
  }
  return { accuracy: right / scores.count, saved: 1 - spent / scores.count / flops };
}

/** For each seed and part the policy that saves most on its choosing images, on average over the margins asked for. */
function bestOf(outcomes: readonly Outcome[], margins: readonly number[]): Outcome {
  const names = new Set<string>();
  const chosen = outcomes[0]!.chosen.map((parts, seed) =>
    parts.map((_, part) => {
      const saved = ({ chosen }: Outcome): number =>
        mean(margins.map((margin) => chosen[seed]![part]!.get(margin)!.choosing));
      const best = outcomes.reduce((a, b) => (saved(b) > saved(a) ? b : a));
      names.add(best.name);
      return best.chosen[seed]![part]!;
    }),
  );
  return { name: `best by the choosing images (${[...names].join('; ')})`, chosen, gates: [] };
}

/** What is saved or lost by each reported image at a margin, as a mean over the seeds, whose folds differ. */
export function byImage({ chosen }: Pick<Outcome, 'chosen'>, margin: number, of: 'saved' | 'lost'): number[] {
  const sums: number[] = [];
  for (const own of chosen.flat().map((part) => part.get(margin)!)) {
    for (const [i, image] of own.images.entries()) sums[image] = (sums[image] ?? 0) + own[of][i]! / chosen.length;
  }
  return sums;
}

const savedBySeed = ({ chosen }: Outcome, margin: number): number[] =>
  chosen.map((parts) => mean(parts.flatMap((part) => [...part.get(margin)!.saved])));

function policyTable(all: readonly Outcome[], { margins, seeds }: Options, { original }: ScoredRun): FindingTable {
  const reference = all[0]!;
  const rows = margins.flatMap((margin) =>
    all.map((outcome) => {
      const [saved, lost] = [byImage(outcome, margin, 'saved'), byImage(outcome, margin, 'lost')];
      const [before, lostBefore] = [byImage(reference, margin, 'saved'), byImage(reference, margin, 'lost')];
      const difference = (a: number[], b: number[]): number[] => a.map((value, i) => value - b[i]!);
      const [more, worse] = [difference(saved, before), difference(lost, lostBefore)];
      const choosing = mean(outcome.chosen.flatMap((parts) => parts.map((part) => part.get(margin)!.choosing)));
      return { outcome, margin, saved, lost, more, worse, choosing, p: pairedPValue(more) };
    }),
  );
  // Compared are the policies, not the choice among them, nor the first with itself.
  const compared = rows.filter(({ outcome }) => outcome !== reference && outcome !== all.at(-1));
  const adjusted = new Map(holm(compared.map(({ p }) => p)).map((p, i) => [compared[i]!, p]));
  const title =
    `FLOPs saved by each policy, and how much more than by the first: ${seeds} seeds, ` +
    `differences paired by ${counted(original.count)} images, p-values by Holm`;
  return tableOf({ name: 'policies', title, consoleRows: rows.length }, rows, [
    ['margin_fraction', ({ margin }) => margin],
    ['policy', ({ outcome }) => outcome.name],
    ['choosing_flops_reduction_fraction', ({ choosing }) => choosing],
    ['flops_reduction_fraction', ({ saved }) => mean(saved)],
    ['least_of_seeds_fraction', ({ outcome, margin }) => Math.min(...savedBySeed(outcome, margin))],
    ['accuracy_drop_fraction', ({ lost }) => mean(lost)],
    ['saved_more_fraction', ({ more }) => mean(more)],
    ...ends('saved_more', ({ more }: (typeof rows)[number]) => pairedInterval(more)),
    ['lost_more_fraction', ({ worse }) => mean(worse)],
    ...ends('lost_more', ({ worse }: (typeof rows)[number]) => pairedInterval(worse)),
    ['p_holm', (row) => adjusted.get(row) ?? null],
  ]);
}

function areaTable(all: readonly Outcome[]): FindingTable {
  const title = `Means over margins of 0 to ${points(AREA_MARGINS.at(-1)!)}; images that leave at the first right exit`;
  return tableOf({ name: 'policy-areas', title, consoleRows: all.length }, all, [
    ['policy', ({ name }) => name],
    ['mean_flops_reduction_fraction', (one) => mean(AREA_MARGINS.flatMap((margin) => savedBySeed(one, margin)))],
    ['mean_accuracy_drop_fraction', (one) => mean(AREA_MARGINS.map((margin) => mean(byImage(one, margin, 'lost'))))],
    ['oracle_accuracy_fraction', ({ oracle }) => oracle?.accuracy ?? null],
    ['oracle_flops_reduction_fraction', ({ oracle }) => oracle?.saved ?? null],
  ]);
}

function gateTable(outcomes: readonly Outcome[]): FindingTable {
  const rows = outcomes.flatMap(({ gates }) => gates);
  const title = 'Each gate alone: calibration error of its softmax, and how well its confidence tells right from wrong';
  return tableOf({ name: 'policy-gates', title, consoleRows: rows.length }, rows, [
    'policy',
    'gate',
    ['accuracy_fraction', ({ accuracy }) => accuracy],
    ['calibration_error_fraction', ({ calibration }) => calibration],
    ['auroc_fraction', ({ auroc }) => auroc],
  ]);
}

function figureOf(all: readonly Outcome[], { source, original }: ScoredRun, seeds: readonly number[]): Figure {
  const values = all.slice(0, -1).flatMap((one) =>
    AREA_MARGINS.map((margin) => ({
      policy: one.name,
      lost_points: 100 * mean(byImage(one, margin, 'lost')),
      saved_percent: 100 * mean(byImage(one, margin, 'saved')),
    })),
  );
  const policy = { field: 'policy', type: 'nominal', title: 'Gates, confidence' } as const;
  const spec: TopLevelSpec = {
    data: { values },
    mark: { type: 'line', point: true },
    encoding: {
      x: axis('lost_points', 'Points of accuracy lost on the test images'),
      y: axis('saved_percent', 'FLOPs saved (%)'),
      color: policy,
      strokeDash: policy,
      order: { field: 'saved_percent' },
    },
  };
  return {
    name: 'policies',
    title: `What losses and confidences of gates save: ${source.network.name}`,
    caption: `Higher and further left is better. Margins of 0 to 2 points on the choosing images, ${counted(original.count)} test images, means of seeds ${seeds.join(', ')}`,
    spec,
  };
}
