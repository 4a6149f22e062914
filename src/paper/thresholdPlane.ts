import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { real } from '../experiment/rules.js';
import type { OptionProblem } from '../experiment/schema.js';
import type { Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { type ExitCosts, evaluate, type Scores } from '../thresholds/evaluate.js';
import { defineAnalysis, pairProblems, twoGates } from './analysis.js';
import { type PlanePoint, planeClaims } from './planeClaims.js';
import { counted, percent } from './words.js';

/** Scores of some of the gates. @param gates positions from 0 */
export function scoresOf(scores: Scores, gates: readonly number[]): Scores {
  return {
    ...scores,
    classes: gates.map((gate) => scores.classes[gate]!),
    confidences: gates.map((gate) => scores.confidences[gate]!),
  };
}

/** from, from + step ... to: both ends included, without rounding errors of decimal steps. */
export function axisOf(from: number, to: number, step: number): number[] {
  return Array.from({ length: axisLength(from, to, step) }, (_, i) => Number((from + i * step).toPrecision(10)) + 0);
}

const axisLength = (from: number, to: number, step: number): number => Math.floor((to - from) / step + 1e-9) + 1;

/** Every pair of thresholds on a square grid, evaluated by Algorithm 1. */
export function planeOf(scores: Scores, costs: ExitCosts, axis: readonly number[]): PlanePoint[] {
  return axis.flatMap((t1) =>
    axis.map((t2): PlanePoint => {
      const { accuracy, flops, exits, count } = evaluate(scores, [t1, t2], costs);
      return { t1, t2, accuracy, flops, exits: exits.map((number) => number / count) };
    }),
  );
}

/** Cells that a plane may have at most: as many evaluations of all test images. */
const MOST_CELLS = 40_000;

const options = z.strictObject({
  kind: z.literal('threshold-plane'),
  gates: twoGates,
  /** Default -1. */
  from: real(-1e6, 1e6).default(-1),
  /** Default 3.5. */
  to: real(-1e6, 1e6).default(3.5),
  /** Default 0.1. */
  step: real(1e-6, 1e6).default(0.1),
});
type Options = z.output<typeof options>;

/** Figure 5: FLOPs and accuracy over a grid of two thresholds. */
export const thresholdPlane = defineAnalysis({
  options,
  problems: (chosen, experiment) => [...pairProblems(chosen.gates, experiment), ...gridProblems(chosen)],
  async compute(run, chosen): Promise<Findings> {
    const gates = chosen.gates.map((gate) => gate - 1);
    const scores = scoresOf(run.scores.test, gates);
    const costs = run.plan.costsOf(gates);
    const plane = planeOf(scores, costs, axisOf(chosen.from, chosen.to, chosen.step));
    const { points, claims } = await planeClaims(run, scores, costs, plane);
    return {
      tables: [points, tableOf(plane, run.original)],
      figures: figuresOf(plane, run, chosen),
      sheets: [],
      claims,
    };
  },
});

function gridProblems({ from, to, step }: Options): OptionProblem[] {
  if (from >= to) return [{ path: ['from'], message: `a number below analysis.to, ${to}`, input: from }];
  const cells = axisLength(from, to, step) ** 2;
  if (cells >= 4 && cells <= MOST_CELLS) return [];
  const message = `a step with which the grid has 2 to ${Math.sqrt(MOST_CELLS)} thresholds`;
  return [{ path: ['step'], message, input: step }];
}

function tableOf(plane: readonly PlanePoint[], original: ScoredRun['original']): FindingTable {
  return {
    name: 'plane',
    title: 'FLOPs and accuracy by the two thresholds',
    columns: [
      't1',
      't2',
      'accuracy_fraction',
      'accuracy_drop_fraction',
      'flops_per_image',
      'flops_reduction_fraction',
      'exit1_fraction',
      'exit2_fraction',
      'exit3_fraction',
    ],
    rows: plane.map(({ t1, t2, accuracy, flops, exits }) => [
      t1,
      t2,
      accuracy,
      original.accuracy - accuracy,
      flops,
      1 - flops / original.flops,
      ...exits,
    ]),
  };
}

function figuresOf(plane: readonly PlanePoint[], run: ScoredRun, { step, gates }: Options) {
  const { original, scores } = run;
  const on = `${counted(scores.test.count)} test images, seed ${run.experiment.seed}, gates ${gates.join(' and ')}`;
  const drawn = (field: string, title: string, value: (point: PlanePoint) => number): TopLevelSpec => ({
    data: {
      values: plane.map((point) => ({ t1: point.t1, t2: point.t2, [field]: value(point) })),
    },
    // Cells one step wide, centred on the grid points.
    transform: (['t1', 't2'] as const).flatMap((axis) => [
      { calculate: `datum.${axis} - ${step / 2}`, as: `${axis}_low` },
      { calculate: `datum.${axis} + ${step / 2}`, as: `${axis}_high` },
    ]),
    mark: { type: 'rect', tooltip: true },
    encoding: {
      x: {
        field: 't1_low',
        type: 'quantitative',
        title: 'threshold t1 of the first gate',
        scale: { zero: false, nice: false },
      },
      x2: { field: 't1_high' },
      y: {
        field: 't2_low',
        type: 'quantitative',
        title: 'threshold t2 of the second gate',
        scale: { zero: false, nice: false },
      },
      y2: { field: 't2_high' },
      color: { field, type: 'quantitative', title, scale: { scheme: 'viridis', zero: false } },
    },
  });
  return [
    {
      name: 'plane-flops',
      title: 'FLOPs by the two thresholds (Figure 5 a)',
      caption: `Average FLOPs per image, in percent of the original network's; ${on}`,
      spec: drawn('flops_percent', 'FLOPs (% of original)', ({ flops }) => (100 * flops) / original.flops),
    },
    {
      name: 'plane-accuracy',
      title: 'Accuracy by the two thresholds (Figure 5 b)',
      caption: `Accuracy in percent; the original network has ${percent(original.accuracy, 2)}; ${on}`,
      spec: drawn('accuracy_percent', 'Accuracy (%)', ({ accuracy }) => 100 * accuracy),
    },
  ];
}
