import { z } from 'zod';
import { isCascade } from '../experiment/network.js';
import { list, real, whole } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import type { Findings } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import type { RunContext } from '../run/context.js';
import { scoreImages } from '../run/score.js';
import { mean } from '../statistics/samples.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';
import { defineAnalysis, orderProblems, pairProblems, reductions, twoGates } from './analysis.js';
import {
  type ComparedLosses,
  type ComparedVariant,
  chooseForBudgets,
  compareCurves,
  curveOf,
  type Regularisation,
  type ScoredGates,
  testChoice,
  type Variant,
  variantName,
  variants,
} from './lossCurves.js';
import { lossReport } from './lossReport.js';
import { type Resampled, resampleDifferences } from './lossResampling.js';

/** Distance of two budgets for which thresholds are chosen, as a share of FLOPs. */
const BUDGET_STEP = 0.02;
/** Distance of two plotted points, as a share of FLOPs. */
const DRAWN_STEP = 0.05;

const options = z.strictObject({
  kind: z.literal('loss-comparison'),
  /** Two of the gates, counted from 1. */
  gates: twoGates,
  /** Gates are trained with this many seeds, from the experiment's own on. Default 3. */
  seeds: whole(1, 100).default(3),
  /** Values of lambda that validation chooses from. Default 0.00002, 0.0002, 0.002, 0.02. */
  l2: list(real(1e-12, 1e3), 'a list of numbers: [0.0002, 0.002]')
    .min(1, { error: 'at least one number' })
    .default([0.00002, 0.0002, 0.002, 0.02]),
  /** Shares of FLOPs saved at which the losses are compared. Default 0.1, 0.2 ... 0.6. */
  reductions: reductions.default([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
});
type Options = z.output<typeof options>;

/** Figure 4: accuracy against FLOPs with hinge and with cross-entropy, for each confidence of the literature. */
export const lossComparison = defineAnalysis({
  options,
  problems({ kind, gates, reductions }, experiment) {
    const message = "with thresholds.validation { kind: 'held-out' } only";
    if (isCascade(experiment.network)) return [{ path: [], message: 'one that trains no gates', input: kind }];
    const isHeldOut = experiment.thresholds.validation.kind === 'held-out';
    return [
      ...pairProblems(gates, experiment),
      ...orderProblems(reductions),
      ...(isHeldOut ? [] : [{ path: ['kind'], message, input: kind }]),
    ];
  },
  compute: findingsOf,
});

async function findingsOf(run: ScoredRun, options: Options): Promise<Findings> {
  const gates = options.gates.map((gate) => gate - 1);
  const costs = run.plan.costsOf(gates);
  const chosen = await chooseRegularisation(run, options, gates, costs);
  const most = options.reductions.at(-1)!;
  const drawn = [...new Set([...steps(DRAWN_STEP, most + DRAWN_STEP), ...options.reductions])].sort((a, b) => a - b);
  const total = run.original.flops;
  // The budgets exceed the last compared share, so that it lies between two choices; at the last, all leave at gate 1.
  const budgets = [0, ...steps(BUDGET_STEP, Math.min(1, most + 0.1)), 1 - costs[0]! / total];
  const compared: ComparedVariant[] = [];
  for (const variant of variants) {
    const { l2 } = chosen.find((row) => row.chosen && sameVariant(row, variant))!;
    const seeds = Array.from({ length: options.seeds }, (_, i) => run.experiment.seed + i);
    const scored: ScoredGates[] = [];
    for (const seed of seeds) scored.push(await scoredGates(run, variant, l2, seed, gates));
    const tested = scored.map((of) => testedChoices(of, costs, total, budgets));
    compared.push({ variant, l2, seeds, tested, scored, curve: curveOf(tested, drawn) });
  }
  const { reductions } = options;
  const comparisons = compareLosses(compared, { costs, total, budgets, reductions }, run.experiment.seed);
  return lossReport(run, options.seeds, chosen, compared, comparisons);
}

/** step, 2 step ... up to `most`. */
const steps = (step: number, most: number): number[] =>
  Array.from({ length: Math.floor(most / step + 1e-9) }, (_, i) => Number(((i + 1) * step).toPrecision(10)));

const sameVariant = (a: Variant, b: Variant): boolean => a.loss === b.loss && a.confidence === b.confidence;

/** Progress of dozens of small steps: long tasks are shown with their variant, cached results are not. */
function quietly(context: RunContext, what: string): RunContext {
  const { progress } = context;
  const begin: typeof progress.begin = (label, total, unit) => progress.begin(`${what}: ${label}`, total, unit);
  return { ...context, progress: { ...progress, note: () => {}, begin } };
}

/**
 * Chooses lambda in the same way for each variant: the highest accuracy on the validation images, averaged over the
 * compared shares of FLOPs, each with its best thresholds there; first seed only. Among equal ones the largest.
 */
async function chooseRegularisation(
  run: ScoredRun,
  { l2, reductions }: Options,
  gates: readonly number[],
  costs: ExitCosts,
): Promise<Regularisation[]> {
  const { seed } = run.experiment;
  const rows: Regularisation[] = [];
  for (const variant of variants) {
    const tried = [];
    for (const value of [...l2].sort((a, b) => b - a)) {
      const held = await heldOutScores(run, variant, value, seed, gates);
      const choices = chooseForBudgets(held, costs, run.original.flops, reductions);
      tried.push({ ...variant, l2: value, accuracy: mean(choices.map(({ accuracy }) => accuracy)) });
    }
    const best = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
    rows.push(...tried.map((row) => ({ ...row, chosen: row === best })));
  }
  return rows;
}

type VariantGates = [variant: Variant, l2: number, seed: number, gates: readonly number[]];

/** Trains the gates of a variant. */
async function trainVariant(run: ScoredRun, ...[variant, l2, seed, gates]: VariantGates) {
  const { experiment } = run;
  const context = quietly(run.context, `${variantName(variant)}, lambda ${l2}, seed ${seed}`);
  const own: Experiment = { ...experiment, seed, gates: { ...experiment.gates, loss: variant.loss, l2 } };
  return { trained: await run.train(own, gates, context), context };
}

async function heldOutScores(run: ScoredRun, ...gates: VariantGates): Promise<Scores> {
  const { trained, context } = await trainVariant(run, ...gates);
  const [{ confidence }] = gates;
  return run.timed('score', () => scoreImages(context, [run.features.heldOut!], trained, confidence, 'held-out'));
}

async function scoredGates(run: ScoredRun, ...gates: VariantGates): Promise<ScoredGates> {
  const { trained, context } = await trainVariant(run, ...gates);
  const { heldOut, test } = await run.score(trained, gates[0].confidence, context);
  return { held: heldOut!, test };
}

/** Thresholds for all budgets, chosen on the validation images and evaluated on the test images. */
function testedChoices({ held, test }: ScoredGates, costs: ExitCosts, total: number, budgets: readonly number[]) {
  const choices = chooseForBudgets(held, costs, total, budgets);
  const distinct = choices.filter(({ thresholds }, i) => String(thresholds) !== String(choices[i - 1]?.thresholds));
  return distinct.map((choice) => testChoice(test, costs, total, choice));
}

/** Hinge with each confidence against cross-entropy with each, at the shares that the options ask for. */
function compareLosses(
  compared: readonly ComparedVariant[],
  curves: Omit<Resampled, 'variants' | 'pairs'>,
  seed: number,
): ComparedLosses[] {
  const of = (loss: Variant['loss']): number[] =>
    compared.flatMap(({ variant }, i) => (variant.loss === loss ? [i] : []));
  const pairs = of('hinge').flatMap((hinge) => of('cross-entropy').map((other) => [hinge, other] as const));
  const { reductions } = curves;
  const deviations = resampleDifferences({ ...curves, variants: compared.map(({ scored }) => scored), pairs }, seed);
  const at = ({ curve }: ComparedVariant) => curve.filter(({ reduction }) => reductions.includes(reduction));
  return pairs.map(([a, b], i) => {
    const [hinge, other] = [compared[a]!, compared[b]!];
    const names = { hinge: hinge.variant.confidence, other: other.variant.confidence };
    return { ...names, differences: compareCurves(at(hinge), at(other), deviations[i]!, reductions) };
  });
}
