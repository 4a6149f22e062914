import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import type { Column } from '../csv.js';
import { counted } from '../json.js';
import type { Figure, Findings, FindingTable } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { type Row, reportOn } from '../run/search.js';
import { axis, defineAnalysis, ends, orderProblems, reductions, searchedParts, tableOf } from './analysis.js';

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
    return { tables: [curveTable(points, run)], figures: [curveFigure(points, run)], sheets: [] };
  },
});

/** A point for each requested share of FLOPs that can be saved. */
function curveOf(run: ScoredRun, reductions: readonly number[]): Point[] {
  const { parts, choose } = searchedParts(run);
  const tried = new Set<string>(); // several shares may lead to the same thresholds
  return reductions.flatMap((asked): Point[] => {
    const thresholds = choose({ kind: 'flops', budget: (1 - asked) * run.original.flops });
    const key = JSON.stringify(thresholds);
    if (thresholds === undefined || tried.has(key)) return [];
    tried.add(key);
    return [{ asked, thresholds, ...reportOn(parts, thresholds, run.plan.costs) }];
  });
}

function curveTable(points: readonly Point[], { original }: ScoredRun): FindingTable {
  const title = 'Accuracy against FLOPs: the most accurate thresholds for each share of FLOPs saved';
  const exits = points[0]?.evaluation.exits ?? [];
  return tableOf({ name: 'curve', title, consoleRows: points.length }, points, [
    ['asked_fraction', ({ asked }) => asked],
    ['flops_reduction_fraction', ({ evaluation }) => 1 - evaluation.flops / original.flops],
    ['flops_per_image', ({ evaluation }) => evaluation.flops],
    ['accuracy_fraction', ({ evaluation }) => evaluation.accuracy],
    ...ends('accuracy', ({ intervals }: Point) => intervals.accuracy),
    ['accuracy_drop_fraction', ({ evaluation }) => original.accuracy - evaluation.accuracy],
    ...exits.map((_, exit): Column<Point, number> => {
      const name = exit < exits.length - 1 ? `exit_${exit + 1}_fraction` : 'exit_last_fraction';
      return [name, ({ evaluation }) => evaluation.exits[exit]! / evaluation.count];
    }),
  ]);
}

function curveFigure(points: readonly Point[], { source, original, experiment, gates }: ScoredRun): Figure {
  const values = points.map(({ evaluation, intervals }) => ({
    flops_percent: (100 * evaluation.flops) / original.flops,
    accuracy_percent: 100 * evaluation.accuracy,
    low: 100 * intervals.accuracy.low,
    high: 100 * intervals.accuracy.high,
  }));
  const x = axis('flops_percent', 'FLOPs (% of original)');
  const [y, low] = [axis('accuracy_percent', 'Accuracy (%)'), axis('low', 'Accuracy (%)')];
  const spec: TopLevelSpec = {
    data: { values },
    layer: [
      { mark: { type: 'rule', strokeDash: [4, 4] }, encoding: { y: { datum: 100 * original.accuracy } } },
      { mark: { type: 'area', opacity: 0.15 }, encoding: { x, y: low, y2: { field: 'high' } } },
      { mark: { type: 'line', point: true }, encoding: { x, y } },
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
