import { z } from 'zod';
import { text } from '../experiment/rules.js';
import { listed, percent, points } from '../json.js';
import type { FindingCell } from '../report/findings.js';
import { modelName, type PublishedRow } from '../report/rows.js';
import { reportOn } from '../run/search.js';
import type { ScoredRun } from '../run/stages.js';
import type { Evaluation } from '../thresholds/evaluate.js';
import { defineAnalysis, missingClasses, searchOf } from './analysis.js';
import { readPublished } from './published.js';

const options = z.strictObject({
  kind: z.literal('published-comparison'),
  /** A table of `results/published` with columns method, accuracy and FLOPs. */
  published: text('a table of results/published: imagenet', /^[\w-]+$/),
  /** Dataset of the published numbers; results on others are not comparable. */
  dataset: text('the dataset of the published numbers: imagenet', /^\S+$/),
});

/**
 * Section 3.4: published results of other methods and our measurements, at the printed accuracies and at the printed distances
 * from the original's accuracy (our weights, and so the original's accuracy, differ from the paper's).
 */
export const publishedComparison = defineAnalysis({
  options,
  problems({ kind }, { thresholds }) {
    const message = 'with at least one margin in thresholds.margins';
    return thresholds.margins.length > 0 ? [] : [{ path: ['kind'], message, input: kind }];
  },
  async compute(run, { published, dataset }) {
    const { original, testImages, rows } = run;
    const { dataset: own, name: network } = run.source.network;
    const printed = await readPublished(published);
    const base = printed.at(-1)!;
    const incomparable =
      own === dataset
        ? missingClasses(new Set(testImages.labels).size, testImages.classes.length)
        : `the printed numbers are of ${dataset}; this preset uses another dataset`;
    const measured: Measured = (method, at, found) => {
      const numbers =
        found === undefined
          ? [null, null, null, null]
          : [found.accuracy, found.accuracy - original.accuracy, found.flops, 1 - found.flops / original.flops];
      return [method, at, own, network, ...numbers, 'measured here', incomparable ?? null];
    };
    const cells = [
      ...printed.map((row): FindingCell[] => {
        const reduction = row.flopsReduction ?? Number((1 - row.flops / base.flops).toPrecision(6));
        const numbers = [row.accuracy, changeOf(row, base), row.flops, reduction];
        return [row.model, 'as printed', dataset, `resnet101-${dataset}`, ...numbers, 'published', null];
      }),
      ...(own === dataset ? atPublishedAccuracies(run, printed, measured) : []),
      ...rows
        .filter(({ kind }) => kind === 'margin')
        .map((row) => measured(modelName(row.thresholds), changeLabel(row.margin!, printed), row.evaluation)),
      measured('Original', 'all images to the last exit', original),
    ];
    const where = own === dataset ? `all of ${dataset}, ${incomparable}` : `${dataset}; measured here on ${own}`;
    const table = {
      name: 'comparison',
      title:
        incomparable === undefined
          ? 'Methods on the same dataset: as published, and measured here'
          : `Published numbers are of ${where}: not comparable`,
      columns: [
        ...['method', 'at', 'dataset', 'network', 'accuracy_fraction', 'accuracy_change_fraction'],
        ...['flops_per_image', 'flops_reduction_fraction', 'published', 'not_comparable'],
      ],
      rows: cells,
      consoleRows: cells.length,
    };
    return { tables: [table] };
  },
});

/** The row of a method measured here; of one without result, no numbers. */
type Measured = (method: string, at: string, found?: Pick<Evaluation, 'accuracy' | 'flops'>) => FindingCell[];

const changeOf = (row: PublishedRow, base: PublishedRow): number =>
  Number((row.accuracy - base.accuracy).toPrecision(6));

/** The fewest FLOPs at each printed accuracy. */
function atPublishedAccuracies(run: ScoredRun, printed: readonly PublishedRow[], measured: Measured): FindingCell[][] {
  const accuracies = [...new Set(printed.map(({ accuracy }) => accuracy))].sort((a, b) => a - b);
  const choose = searchOf(run);
  return accuracies.map((required) => {
    const models = printed.filter(({ accuracy }) => accuracy === required).map(({ model }) => model);
    const at = `${percent(required, 1)}, as ${listed(models)}`;
    const thresholds = choose({ kind: 'accuracy', required });
    if (thresholds === undefined) return measured('none reaches it', at);
    return measured(modelName(thresholds), at, reportOn(run.parts, thresholds, run.plan.costs).evaluation);
  });
}

/** A margin in terms of the printed rows: `1.1 points less, as ACT`. */
function changeLabel(margin: number, printed: readonly PublishedRow[]): string {
  const base = printed.at(-1)!;
  const models = printed.filter((row) => row !== base && Math.abs(changeOf(row, base) + margin) < 1e-9);
  const as = models.length === 0 ? '' : `, as ${listed(models.map(({ model }) => model))}`;
  return margin === 0
    ? `the original's accuracy${as}`
    : `${points(Math.abs(margin), 1)} ${margin < 0 ? 'more' : 'less'}${as}`;
}
