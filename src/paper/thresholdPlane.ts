import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { real } from '../experiment/rules.js';
import type { OptionProblem } from '../experiment/schema.js';
import type { Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { type ExitCosts, evaluate, type Scores } from '../thresholds/evaluate.js';
import { defineAnalysis, pairProblems, twoGates } from './analysis.js';
import { flopsReductionOf, type Measures, measureThresholds } from './measures.js';
import { counted, percent } from './words.js';

/** One point of the plane of two thresholds. */
export interface PlanePoint {
  readonly t1: number;
  readonly t2: number;
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  /** Share of images that leave at each exit. */
  readonly exits: readonly number[];
}

/** Thresholds of the paper's claims. */
const claimed = [
  [0, 0],
  [2, 2],
] as const;

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
    const measures = claimed.map((thresholds) => measureThresholds([{ scores, thresholds }], costs));
    return {
      tables: [pointTable(measures, run.original.flops), stepTable(plane, scores.count), tableOf(plane, run.original)],
      figures: figuresOf(plane, run, chosen),
      sheets: [],
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

function pointTable(measures: readonly Measures[], total: number): FindingTable {
  return {
    name: 'points',
    title: 'FLOPs and accuracy at the thresholds of the paper, with 95 % intervals over the test images',
    columns: [
      't1',
      't2',
      'flops_per_image',
      'flops_reduction_fraction',
      'flops_reduction_low_fraction',
      'flops_reduction_high_fraction',
      'accuracy_drop_fraction',
      'accuracy_drop_low_fraction',
      'accuracy_drop_high_fraction',
    ],
    rows: measures.map((found, i) => {
      const { share, interval } = flopsReductionOf(found, total);
      const { drop, dropInterval } = found;
      return [
        ...claimed[i]!,
        found.flops,
        share,
        interval.low,
        interval.high,
        drop,
        dropInterval.low,
        dropInterval.high,
      ];
    }),
    consoleRows: measures.length,
  };
}

/** Standard deviations on either side of the largest fall: there are thousands of steps. */
const NOISE = 4;

/** Steps of the grid to the next higher threshold at which FLOPs or accuracy fall. @param images test images */
export function stepTable(plane: readonly PlanePoint[], images: number): FindingTable {
  const side = Math.round(Math.sqrt(plane.length));
  let [steps, flopsFalls, falls] = [0, 0, 0];
  let [worst, low, high] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  plane.forEach((point, at) => {
    const up = [(at + 1) % side === 0 ? undefined : plane[at + 1], plane[at + side]];
    for (const next of up) {
      if (next === undefined) continue;
      steps++;
      if (!(next.flops >= point.flops)) flopsFalls++;
      const fall = point.accuracy - next.accuracy;
      if (fall > 0) falls++;
      // Upper bound of the share of images that change between right and wrong.
      const moved = next.exits.reduce((sum, share, exit) => sum + Math.abs(share - point.exits[exit]!), 0) / 2;
      const half = NOISE * Math.sqrt(moved / images);
      [worst, low, high] = [Math.max(worst, fall), Math.max(low, fall - half), Math.max(high, fall + half)];
    }
  });
  return {
    name: 'steps',
    title:
      'Steps to the next higher threshold at which FLOPs or accuracy fall; simultaneous interval of the largest fall',
    columns: [
      'steps',
      'flops_falls_fraction',
      'accuracy_falls_fraction',
      'largest_fall_fraction',
      'largest_fall_low_fraction',
      'largest_fall_high_fraction',
    ],
    rows: [[steps, flopsFalls / steps, falls / steps, worst, low, high]],
    consoleRows: 1,
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
