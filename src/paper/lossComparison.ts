import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import type { Column } from '../csv.js';
import { isCascade } from '../experiment/network.js';
import { list, real, whole } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import type { Loss } from '../gates/loss.js';
import { counted } from '../json.js';
import type { Figure, FindingTable } from '../report/findings.js';
import { scoreImages } from '../run/score.js';
import type { ScoredRun } from '../run/stages.js';
import { mean } from '../statistics/intervals.js';
import { axis, defineAnalysis, ends, pairProblems, percentEnds, reductions, tableOf, twoGates } from './analysis.js';
import {
  accuracyOf,
  chooseForBudgets,
  compareCurves,
  curveOf,
  type Resampled,
  resampleDifferences,
  type ScoredGates,
  type Tested,
  testChoice,
  type Variant,
  variantName,
} from './lossCurves.js';
import { axisOf } from './thresholdPlane.js';

/** The variants compared in Figure 4: the paper's, and confidences of the literature. */
const variants: readonly Variant[] = [
  { loss: 'hinge', confidence: 'max' },
  { loss: 'hinge', confidence: 'difference' },
  { loss: 'cross-entropy', confidence: 'max' },
  { loss: 'cross-entropy', confidence: 'softmax' },
  { loss: 'cross-entropy', confidence: 'entropy' },
  { loss: 'cross-entropy', confidence: 'difference' },
];

const BUDGET_STEP = 0.02; // between budgets, as a share of FLOPs
const DRAWN_STEP = 0.05; // between plotted points

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
  problems({ kind, gates }, experiment) {
    const { network, thresholds } = experiment;
    if (isCascade(network)) return [{ path: [], message: 'one that trains no gates', input: kind }];
    const message = "with thresholds.validation { kind: 'held-out' } only";
    const misfits = thresholds.validation.kind === 'held-out' ? [] : [{ path: ['kind'], message, input: kind }];
    return [...pairProblems(gates, experiment), ...misfits];
  },
  async compute(run, options) {
    const { reductions } = options;
    const gates = options.gates.map((gate) => gate - 1);
    const costs = run.plan.costsOf(gates);
    const regularisation = await chooseRegularisation(run, options, gates);
    const most = reductions.at(-1)!;
    const drawn = [...new Set([...axisOf(DRAWN_STEP, most + DRAWN_STEP, DRAWN_STEP), ...reductions])].sort(
      (a, b) => a - b,
    );
    const total = run.original.flops;
    // The last compared share must lie between two choices. With the last budget all images leave at gate 1.
    const budgets = [0, ...axisOf(BUDGET_STEP, Math.min(1, most + 0.1), BUDGET_STEP), 1 - costs[0]! / total];
    const compared: Compared[] = [];
    for (const { loss, confidence, l2 } of regularisation.filter(({ chosen }) => chosen)) {
      const [scored, tested]: [ScoredGates[], TestedChoice[][]] = [[], []];
      for (let { seed } = run.experiment; seed < run.experiment.seed + options.seeds; seed++) {
        const { trained, context } = await trainVariant(run, { loss, confidence, l2 }, seed, gates);
        const { heldOut, test } = await run.score(trained, confidence, context);
        scored.push({ held: heldOut!, test });
        const choices = chooseForBudgets(heldOut!, costs, total, budgets);
        const distinct = choices.filter(
          (choice, i) => String(choice.thresholds) !== String(choices[i - 1]?.thresholds),
        );
        tested.push(distinct.map((choice) => testChoice(test, costs, total, { ...choice, seed })));
      }
      compared.push({ loss, confidence, l2, tested, scored, curve: curveOf(tested, drawn) });
    }
    const comparisons = compareLosses(compared, { costs, total, budgets, reductions }, run.experiment.seed);
    const points = pointsOf(compared);
    const basis =
      `thresholds chosen on ${counted(run.scores.heldOut?.count ?? 0)} held-out training images, reported on ` +
      `${counted(run.scores.test.count)} test images, ${options.seeds} seeds`;
    const chosen = [regularisationTable(regularisation), thresholdTable(compared, total)];
    return {
      tables: [differenceTable(comparisons), curveTable(points, total), ...chosen],
      figures: [curveFigure(points, basis), differenceFigure(comparisons, basis)],
    };
  },
});

/**
 * Chooses lambda for each variant with the first seed: the highest accuracy on the validation images, averaged over the compared
 * shares of FLOPs, each with its best thresholds there. Among equal ones the largest.
 */
async function chooseRegularisation(run: ScoredRun, { l2, reductions }: Options, gates: readonly number[]) {
  const costs = run.plan.costsOf(gates);
  const rows = [];
  for (const variant of variants) {
    const tried = [];
    for (const lambda of [...l2].sort((a, b) => b - a)) {
      const own = { ...variant, l2: lambda };
      const { trained, context } = await trainVariant(run, own, run.experiment.seed, gates);
      const scores = () => scoreImages(context, [run.features.heldOut!], trained, variant.confidence, 'held-out');
      const choices = chooseForBudgets(await run.timed('score', scores), costs, run.original.flops, reductions);
      tried.push({ ...own, accuracy: mean(choices.map(({ accuracy }) => accuracy)) });
    }
    const best = tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
    rows.push(...tried.map((row) => ({ ...row, chosen: row === best })));
  }
  return rows;
}

/** Trains the gates of a variant. These are dozens of small steps: progress shows long tasks only, with their variant. */
async function trainVariant(
  { experiment, ...run }: ScoredRun,
  { loss, confidence, l2 }: Variant & { readonly l2: number },
  seed: number,
  gates: readonly number[],
) {
  const { progress } = run.context;
  const what = `${variantName({ loss, confidence })}, lambda ${l2}, seed ${seed}`;
  const begin: typeof progress.begin = (label, total, unit) => progress.begin(`${what}: ${label}`, total, unit);
  const context = { ...run.context, progress: { ...progress, note: () => {}, begin } };
  const own: Experiment = { ...experiment, seed, gates: { ...experiment.gates, loss, l2 } };
  return { trained: await run.train(own, gates, context), context };
}

type TestedChoice = Tested & ReturnType<typeof chooseForBudgets>[number] & { readonly seed: number };

interface Compared extends Variant {
  readonly l2: number;
  /** Per seed, its choices of thresholds on the test images. */
  readonly tested: readonly (readonly TestedChoice[])[];
  readonly scored: readonly ScoredGates[];
  readonly curve: ReturnType<typeof curveOf>;
}

/** Hinge with each confidence against cross-entropy with each, at the compared shares: a row for each share. */
function compareLosses(compared: readonly Compared[], curves: Omit<Resampled, 'variants' | 'pairs'>, seed: number) {
  const of = (loss: Loss): number[] => compared.flatMap((one, i) => (one.loss === loss ? [i] : []));
  const pairs = of('hinge').flatMap((hinge) => of('cross-entropy').map((other) => [hinge, other] as const));
  const { reductions } = curves;
  const deviations = resampleDifferences({ ...curves, variants: compared.map(({ scored }) => scored), pairs }, seed);
  const at = ({ curve }: Compared) => curve.filter(({ reduction }) => reductions.includes(reduction));
  return pairs.flatMap(([a, b], i) => {
    const [hinge, other] = [compared[a]!, compared[b]!];
    const names = { hinge_confidence: hinge.confidence, cross_entropy_confidence: other.confidence };
    const differences = compareCurves(at(hinge), at(other), deviations[i]!, reductions);
    return differences.map((difference) => ({ ...names, ...difference }));
  });
}

type Comparisons = ReturnType<typeof compareLosses>;

const ofVariant = ['loss', 'confidence', 'l2'] as const;
const ofSeeds: Column<{ readonly least: number; readonly most: number }, number>[] = [
  ['least_of_seeds_fraction', ({ least }) => least],
  ['most_of_seeds_fraction', ({ most }) => most],
];

function differenceTable(rows: Comparisons): FindingTable {
  const title = 'Accuracy with hinge minus accuracy with cross-entropy, at equal FLOPs on the same test images';
  const consoleRows = rows.filter((row) => row.hinge_confidence === 'max').length;
  return tableOf({ name: 'differences', title, consoleRows }, rows, [
    'hinge_confidence',
    'cross_entropy_confidence',
    ['flops_reduction_fraction', ({ reduction }) => reduction],
    ['difference_fraction', ({ difference }) => difference],
    ...ends('simultaneous95', ({ interval }: Comparisons[number]) => interval),
    ['growth_fraction', ({ growth }) => growth.value],
    ...ends('growth', ({ growth }: Comparisons[number]) => growth.interval),
    ...ofSeeds,
    ['better', ({ winner }) => winner],
  ]);
}

function pointsOf(compared: readonly Compared[]) {
  return compared.flatMap(({ loss, confidence, l2, curve }) =>
    curve.map((point) => ({ loss, confidence, l2, reduction: point.reduction, ...accuracyOf(point) })),
  );
}

type Points = ReturnType<typeof pointsOf>;

function curveTable(rows: Points, total: number): FindingTable {
  return tableOf({ name: 'curves', title: 'Accuracy against FLOPs' }, rows, [
    ...ofVariant,
    ['flops_reduction_fraction', ({ reduction }) => reduction],
    ['flops_per_image', ({ reduction }) => (1 - reduction) * total],
    ['accuracy_fraction', ({ accuracy }) => accuracy],
    ...ends('interval95', ({ interval }: Points[number]) => interval),
    ...ofSeeds,
  ]);
}

function regularisationTable(rows: Awaited<ReturnType<typeof chooseRegularisation>>): FindingTable {
  return tableOf({ name: 'regularisation', title: 'Choice of lambda on the validation images, first seed' }, rows, [
    ...ofVariant,
    ['validation_accuracy_fraction', ({ accuracy }) => accuracy],
    ['chosen', ({ chosen }) => (chosen ? 'yes' : 'no')],
  ]);
}

function thresholdTable(compared: readonly Compared[], total: number): FindingTable {
  const title = 'Thresholds chosen on the validation images for each budget, evaluated on the test images';
  const rows = compared.flatMap(({ loss, confidence, l2, tested }) =>
    tested.flat().map((choice) => ({ loss, confidence, l2, ...choice })),
  );
  // JSON has no Infinity, the threshold of a closed gate.
  const finite = (threshold = Number.NaN): number | string => (Number.isFinite(threshold) ? threshold : 'Infinity');
  return tableOf({ name: 'thresholds', title }, rows, [
    ...ofVariant,
    'seed',
    ['budget_flops_reduction_fraction', ({ budget }) => budget],
    ['t1', ({ thresholds }) => finite(thresholds[0])],
    ['t2', ({ thresholds }) => finite(thresholds[1])],
    ['validation_accuracy_fraction', ({ accuracy }) => accuracy],
    ['accuracy_fraction', ({ right }) => mean(right)],
    ['flops_per_image', ({ reduction }) => (1 - reduction) * total],
  ]);
}

function curveFigure(points: Points, basis: string): Figure {
  const values = points.map(({ accuracy, interval, reduction, ...variant }) => ({
    gates: variantName(variant),
    loss: variant.loss,
    flops_percent: 100 * (1 - reduction),
    accuracy_percent: 100 * accuracy,
    ...percentEnds(interval),
  }));
  const sort = [...new Set(points.map(variantName))];
  const color = { field: 'gates', type: 'nominal', sort, title: 'loss, confidence' } as const;
  const x = axis('flops_percent', 'FLOPs (% of original)');
  const [y, low] = [axis('accuracy_percent', 'Accuracy (%)'), axis('low', 'Accuracy (%)')];
  const strokeDash = { field: 'loss', type: 'nominal', sort: ['hinge', 'cross-entropy'], title: 'loss' } as const;
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'area', opacity: 0.12 }, encoding: { x, y: low, y2: { field: 'high' }, color } },
      { mark: { type: 'line', point: true, tooltip: true }, encoding: { x, y, color, strokeDash } },
    ],
  };
  const title = 'Accuracy against FLOPs: hinge and cross-entropy (Figure 4)';
  const caption = `Bands: 95 % intervals over the test images of the mean over the seeds; ${basis}`;
  return { name: 'curves', title, caption, spec };
}

function differenceFigure(comparisons: Comparisons, basis: string): Figure {
  const ofPaper = comparisons.filter((row) => row.hinge_confidence === 'max');
  const values = ofPaper.map(({ cross_entropy_confidence, reduction, difference, interval }) => ({
    confidence: cross_entropy_confidence,
    reduction_percent: 100 * reduction,
    difference_points: 100 * difference,
    ...percentEnds(interval),
  }));
  const title = 'FLOPs saved (% of original)';
  const x = { field: 'reduction_percent', type: 'ordinal', title, axis: { labelAngle: 0 } } as const;
  const sort = [...new Set(ofPaper.map((row) => row.cross_entropy_confidence))];
  const confidence = { field: 'confidence', type: 'nominal', sort } as const;
  const shared = { x, xOffset: confidence, color: { ...confidence, title: 'cross-entropy confidence' } };
  const low = { field: 'low', type: 'quantitative', title: 'hinge - cross-entropy (points)' } as const;
  const y = { field: 'difference_points', type: 'quantitative' } as const;
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'rule', strokeDash: [4, 4] }, encoding: { y: { datum: 0 } } },
      { mark: { type: 'rule', strokeWidth: 2 }, encoding: { ...shared, y: low, y2: { field: 'high' } } },
      { mark: { type: 'point', filled: true, size: 50, tooltip: true }, encoding: { ...shared, y } },
    ],
  };
  const caption = `Paired by image; intervals hold for all shares of a confidence at once with 95 % confidence (bootstrap over the test images and the choice of thresholds); ${basis}`;
  return { name: 'differences', title: 'Hinge (largest distance) minus cross-entropy, at equal FLOPs', caption, spec };
}
