import type { TopLevelSpec } from 'vega-lite';
import { z } from 'zod';
import { counted } from '../json.js';
import type { Figure, FindingTable } from '../report/findings.js';
import { reportOn } from '../run/search.js';
import type { ScoredRun } from '../run/stages.js';
import { axis, defineAnalysis, ends, exitColumns, percentEnds, reductions, searchOf, tableOf } from './analysis.js';

/** The most accurate thresholds that save at least the requested share of FLOPs on the selection images. */
type Point = ReturnType<typeof reportOn> & { readonly asked_fraction: number };

const options = z.strictObject({
  kind: z.literal('accuracy-flops'),
  /** Shares of FLOPs saved, ascending. Default 0.05, 0.1 ... 0.6. */
  reductions: reductions.default([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6]),
});

/** Accuracy against FLOPs: the most accurate thresholds for each share of FLOPs saved, by the joint search. */
export const accuracyFlops = defineAnalysis({
  options,
  async compute(run, { reductions }) {
    const choose = searchOf(run);
    const tried = new Set<string>(); // several shares may lead to the same thresholds
    const points = reductions.flatMap((asked): Point[] => {
      const thresholds = choose({ kind: 'flops', budget: (1 - asked) * run.original.flops });
      const key = JSON.stringify(thresholds);
      if (thresholds === undefined || tried.has(key)) return [];
      tried.add(key);
      return [{ asked_fraction: asked, ...reportOn(run.parts, thresholds, run.plan.costs) }];
    });
    return { tables: [tableOn(points, run)], figures: [figureOf(points, run)] };
  },
});

function tableOn(points: readonly Point[], { original }: ScoredRun): FindingTable {
  const title = 'Accuracy against FLOPs: the most accurate thresholds for each share of FLOPs saved';
  return tableOf({ name: 'curve', title, consoleRows: points.length }, points, [
    'asked_fraction',
    ['flops_reduction_fraction', ({ evaluation }) => 1 - evaluation.flops / original.flops],
    ['flops_per_image', ({ evaluation }) => evaluation.flops],
    ['accuracy_fraction', ({ evaluation }) => evaluation.accuracy],
    ...ends('accuracy', ({ intervals }: Point) => intervals.accuracy),
    ['accuracy_drop_fraction', ({ evaluation }) => original.accuracy - evaluation.accuracy],
    ...exitColumns(points[0]?.evaluation.exits.length ?? 0),
  ]);
}

function figureOf(points: readonly Point[], { source, original, experiment, gates }: ScoredRun): Figure {
  const values = points.map(({ evaluation, intervals }) => ({
    flops_percent: (100 * evaluation.flops) / original.flops,
    accuracy_percent: 100 * evaluation.accuracy,
    ...percentEnds(intervals.accuracy),
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
  const isHeldOut = experiment.thresholds.validation.kind === 'held-out';
  const chosen = isHeldOut ? 'held-out training images' : 'other folds of the test images';
  const count = `${gates.length} ${gates.length === 1 ? 'gate' : 'gates'}`;
  const title = `Accuracy against FLOPs: ${source.network.name} with ${count}`;
  const caption = `Dashed: the original network. Band: 95 % intervals over the ${counted(original.count)} test images; thresholds chosen on ${chosen}, seed ${experiment.seed}`;
  return { name: 'curve', title, caption, spec };
}
