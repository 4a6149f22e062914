import type { TopLevelSpec } from 'vega-lite';
import type { AnalysisOf } from '../experiment/analysis.js';
import type { Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { type ExitCosts, evaluate, type Scores } from '../thresholds/evaluate.js';
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
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  return Array.from({ length: count }, (_, i) => Number((from + i * step).toPrecision(10)) + 0);
}

/** Every pair of thresholds on a square grid, evaluated by Algorithm 1. */
export function planeOf(scores: Scores, costs: ExitCosts, axis: readonly number[]): PlanePoint[] {
  return axis.flatMap((t1) =>
    axis.map((t2): PlanePoint => {
      const { accuracy, flops, exits, count } = evaluate(scores, [t1, t2], costs);
      return { t1, t2, accuracy, flops, exits: exits.map((number) => number / count) };
    }),
  );
}

/** Figure 5: FLOPs and accuracy as functions of the two thresholds. */
export async function thresholdPlane(run: ScoredRun, options: AnalysisOf<'threshold-plane'>): Promise<Findings> {
  const gates = options.gates.map((gate) => gate - 1);
  const scores = scoresOf(run.scores.test, gates);
  const costs = run.plan.costsOf(gates);
  const plane = planeOf(scores, costs, axisOf(options.from, options.to, options.step));
  const { points, claims } = await planeClaims(run, scores, costs, plane);
  return {
    tables: [points, tableOf(plane, run.original)],
    figures: figuresOf(plane, run, options),
    sheets: [],
    claims,
  };
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

function figuresOf(plane: readonly PlanePoint[], run: ScoredRun, { step, gates }: AnalysisOf<'threshold-plane'>) {
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
