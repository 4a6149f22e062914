import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import type { Column } from '../csv.js';
import type { OptionProblem } from '../experiment/checks.js';
import { real } from '../experiment/rules.js';
import { counted, percent } from '../json.js';
import type { FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/stages.js';
import { type Interval, mean, meanInterval } from '../statistics/intervals.js';
import { type ExitCosts, evaluate, exitOf, type Scores, type Thresholds } from '../thresholds/evaluate.js';
import { axis, defineAnalysis, ends, isRightAt, pairProblems, scoresOf, tableOf, twoGates } from './analysis.js';

/** Thresholds of both gates in the paper's claims. */
const claimed = [0, 2];

/** Most cells of a plane; each is an evaluation of all test images. */
const MOST_CELLS = 40_000;

const options = z.strictObject({
  kind: z.literal('threshold-plane'),
  /** Two of the gates, counted from 1. */
  gates: twoGates,
  /** Lowest threshold of both axes. Default -1. */
  from: real(-1e6, 1e6).default(-1),
  /** Highest threshold of both axes. Default 3.5. */
  to: real(-1e6, 1e6).default(3.5),
  /** Distance of two thresholds of an axis. Default 0.1. */
  step: real(1e-6, 1e6).default(0.1),
});
type Options = z.output<typeof options>;

/** Figure 5: FLOPs and accuracy over a grid of two thresholds. */
export const thresholdPlane = defineAnalysis({
  options,
  problems: (chosen, experiment) => [...pairProblems(chosen.gates, experiment), ...gridProblems(chosen)],
  async compute(run, chosen) {
    const gates = chosen.gates.map((gate) => gate - 1);
    const scores = scoresOf(run.scores.test, gates);
    const costs = run.plan.costsOf(gates);
    const plane = planeOf(scores, costs, axisOf(chosen.from, chosen.to, chosen.step));
    const points = claimed.map((t) => {
      return { t1: t, t2: t, ...measureThresholds(scores, [t, t], costs, run.original.flops) };
    });
    return {
      tables: [pointTable(points), stepTable(plane, scores.count), planeTable(plane, run.original)],
      figures: figuresOf(plane, run, chosen),
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

/** from, from + step ... to: both ends included, without rounding errors of decimal steps. */
export function axisOf(from: number, to: number, step: number): number[] {
  return Array.from({ length: axisLength(from, to, step) }, (_, i) => Number((from + i * step).toPrecision(10)) + 0);
}

const axisLength = (from: number, to: number, step: number): number => Math.floor((to - from) / step + 1e-9) + 1;

type PlanePoint = ReturnType<typeof planeOf>[number];

/** Accuracy, average FLOPs per image and shares of the exits of each pair of thresholds on a square grid, by Algorithm 1. */
export function planeOf(scores: Scores, costs: ExitCosts, axis: readonly number[]) {
  return axis.flatMap((t1) =>
    axis.map((t2) => {
      const { accuracy, flops, exits, count } = evaluate(scores, [t1, t2], costs);
      return { t1, t2, accuracy, flops, exits: exits.map((number) => number / count) };
    }),
  );
}

/** Average FLOPs, the share saved of the original's `total` and the accuracy drop, paired by image, with 95 % intervals. */
export function measureThresholds(scores: Scores, thresholds: Thresholds, costs: ExitCosts, total: number) {
  const last = thresholds.length;
  const exits = Array.from({ length: scores.count }, (_, image) => exitOf(scores, thresholds, image));
  const flops = exits.map((exit) => costs[exit]!);
  const drops = exits.map((exit, i) => Number(isRightAt(scores, last, i)) - Number(isRightAt(scores, exit, i)));
  const { low, high } = meanInterval(flops);
  return {
    flops: mean(flops),
    saved: 1 - mean(flops) / total,
    savedInterval: { low: 1 - high / total, high: 1 - low / total },
    drop: mean(drops),
    dropInterval: meanInterval(drops),
  };
}

type Measured = ReturnType<typeof measureThresholds> & Pick<PlanePoint, 't1' | 't2'>;

function pointTable(points: readonly Measured[]): FindingTable {
  const title = 'FLOPs and accuracy at the thresholds of the paper, with 95 % intervals over the test images';
  return tableOf({ name: 'points', title, consoleRows: points.length }, points, [
    't1',
    't2',
    ['flops_per_image', ({ flops }) => flops],
    ['flops_reduction_fraction', ({ saved }) => saved],
    ...ends('flops_reduction', ({ savedInterval }: Measured): Interval => savedInterval),
    ['accuracy_drop_fraction', ({ drop }) => drop],
    ...ends('accuracy_drop', ({ dropInterval }: Measured) => dropInterval),
  ]);
}

/** Standard deviations in the interval of the largest fall, which is one of thousands of steps. */
const NOISE = 4;

/** Steps of the grid to the next higher threshold at which FLOPs or accuracy fall. @param images number of test images */
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
      ...['steps', 'flops_falls_fraction', 'accuracy_falls_fraction'],
      ...['largest_fall_fraction', 'largest_fall_low_fraction', 'largest_fall_high_fraction'],
    ],
    rows: [[steps, flopsFalls / steps, falls / steps, worst, low, high]],
    consoleRows: 1,
  };
}

function planeTable(plane: readonly PlanePoint[], original: ScoredRun['original']): FindingTable {
  return tableOf({ name: 'plane', title: 'FLOPs and accuracy by the two thresholds' }, plane, [
    't1',
    't2',
    ['accuracy_fraction', ({ accuracy }) => accuracy],
    ['accuracy_drop_fraction', ({ accuracy }) => original.accuracy - accuracy],
    ['flops_per_image', ({ flops }) => flops],
    ['flops_reduction_fraction', ({ flops }) => 1 - flops / original.flops],
    ...[0, 1, 2].map((i): Column<PlanePoint, number> => [`exit${i + 1}_fraction`, ({ exits }) => exits[i]!]),
  ]);
}

function figuresOf(plane: readonly PlanePoint[], run: ScoredRun, { step, gates }: Options) {
  const { original, scores } = run;
  const on = `${counted(scores.test.count)} test images, seed ${run.experiment.seed}, gates ${gates.join(' and ')}`;
  const threshold = (field: string, title: string) => ({ ...axis(field, title), scale: { zero: false, nice: false } });
  const drawn = (field: string, title: string, value: (point: PlanePoint) => number): TopLevelSpec => ({
    data: { values: plane.map((point) => ({ t1: point.t1, t2: point.t2, [field]: value(point) })) },
    // Cells one step wide, centred on the grid points.
    transform: (['t1', 't2'] as const).flatMap((axis) => [
      { calculate: `datum.${axis} - ${step / 2}`, as: `${axis}_low` },
      { calculate: `datum.${axis} + ${step / 2}`, as: `${axis}_high` },
    ]),
    mark: { type: 'rect', tooltip: true },
    encoding: {
      x: threshold('t1_low', 'threshold t1 of the first gate'),
      x2: { field: 't1_high' },
      y: threshold('t2_low', 'threshold t2 of the second gate'),
      y2: { field: 't2_high' },
      color: { ...axis(field, title), scale: { scheme: 'viridis', zero: false } },
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
