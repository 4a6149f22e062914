import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import type { Figure, Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { partsOf, type Row, reportOn } from '../run/search.js';
import { paretoFrontier } from '../thresholds/frontier.js';
import { jointSearch } from '../thresholds/joint.js';
import { defineAnalysis, orderProblems, reductions } from './analysis.js';
import { counted } from './words.js';

/** The most accurate thresholds that save at least the requested share of FLOPs on the selection images. */
interface Point extends Pick<Row, 'thresholds' | 'evaluation' | 'intervals'> {
  readonly asked: number;
}

const options = z.strictObject({
  kind: z.literal('accuracy-flops'),
  /** Shares of FLOPs saved, ascending. Default 0.05, 0.1 ... 0.6. */
  reductions: reductions.default([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]),
});

/**
 * Accuracy against FLOPs, for any network with gates: the most accurate thresholds for each share of FLOPs saved, with
 * the joint search. Selection and evaluation images are disjoint.
 */
export const accuracyFlops = defineAnalysis({
  options,
  problems: ({ reductions }) => orderProblems(reductions),
  async compute(run, { reductions }): Promise<Findings> {
    const points = curveOf(run, reductions);
    return { tables: [tableOf(points, run)], figures: [figureOf(points, run)], sheets: [] };
  },
});

/** A point for each requested share of FLOPs that can be saved. */
function curveOf({ experiment, scores, features, plan, original }: ScoredRun, reductions: readonly number[]): Point[] {
  const parts = partsOf(experiment, scores.test, scores.heldOut, features.test.classes);
  const frontiers = parts.map(({ selection }) => paretoFrontier(selection.scores, plan.costs, selection.images));
  const tried = new Set<string>(); // several shares may lead to the same thresholds
  return reductions.flatMap((asked): Point[] => {
    const budget = (1 - asked) * original.flops;
    const found = parts.map(({ selection }, i) =>
      jointSearch(selection.scores, plan.costs, selection.images, { kind: 'flops', budget }, frontiers[i]),
    );
    const thresholds = found.flatMap((point) => (point === undefined ? [] : [point.thresholds]));
    const key = JSON.stringify(thresholds);
    if (thresholds.length < parts.length || tried.has(key)) return [];
    tried.add(key);
    return [{ asked, thresholds, ...reportOn(parts, thresholds, plan.costs) }];
  });
}

function tableOf(points: readonly Point[], { original }: ScoredRun): FindingTable {
  const exits = points[0]?.evaluation.exits ?? [];
  return {
    name: 'curve',
    title: 'Accuracy against FLOPs: the most accurate thresholds for each share of FLOPs saved',
    columns: [
      ...['asked_fraction', 'flops_reduction_fraction', 'flops_per_image', 'accuracy_fraction'],
      ...['accuracy_low_fraction', 'accuracy_high_fraction', 'accuracy_drop_fraction'],
      ...exits.map((_, exit) => (exit < exits.length - 1 ? `exit_${exit + 1}_fraction` : 'exit_last_fraction')),
    ],
    rows: points.map(({ asked, evaluation: { flops, accuracy, exits: numbers, count }, intervals }) => [
      ...[asked, 1 - flops / original.flops, flops, accuracy, intervals.accuracy.low, intervals.accuracy.high],
      ...[original.accuracy - accuracy, ...numbers.map((number) => number / count)],
    ]),
    consoleRows: points.length,
  };
}

function figureOf(points: readonly Point[], { source, original, experiment, gates }: ScoredRun): Figure {
  const values = points.map(({ evaluation, intervals }) => ({
    flops_percent: (100 * evaluation.flops) / original.flops,
    accuracy_percent: 100 * evaluation.accuracy,
    low: 100 * intervals.accuracy.low,
    high: 100 * intervals.accuracy.high,
  }));
  const x = {
    field: 'flops_percent',
    type: 'quantitative',
    title: 'FLOPs (% of original)',
    scale: { zero: false },
  } as const;
  const y = { type: 'quantitative', title: 'Accuracy (%)', scale: { zero: false } } as const;
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'rule', strokeDash: [4, 4] }, encoding: { y: { datum: 100 * original.accuracy } } },
      {
        mark: { type: 'area', opacity: 0.15 },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' } },
      },
      { mark: { type: 'line', point: true }, encoding: { x, y: { ...y, field: 'accuracy_percent' } } },
    ],
  };
  const chosen =
    experiment.thresholds.validation.kind === 'held-out'
      ? 'held-out training images'
      : 'other folds of the test images';
  return {
    name: 'curve',
    title: `Accuracy against FLOPs: ${source.network.name} with ${gates.length} ${gates.length === 1 ? 'gate' : 'gates'}`,
    caption: `Dashed: the original network. Band: 95 % intervals over the ${counted(original.count)} test images; thresholds chosen on ${chosen}, seed ${experiment.seed}`,
    spec,
  };
}
