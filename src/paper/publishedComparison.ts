import { z } from 'zod';
import { text } from '../experiment/rules.js';
import { counted, listed, percent, points } from '../json.js';
import type { FindingCell, Findings } from '../report/findings.js';
import { modelName, type PublishedRow } from '../report/rows.js';
import { type Row, reportOn } from '../run/search.js';
import type { ScoredRun } from '../run/stages.js';
import { defineAnalysis, searchOf } from './analysis.js';
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
  compute: findingsOf,
});

async function findingsOf(
  run: ScoredRun,
  { published, dataset }: z.output<typeof options>,
): Promise<Partial<Findings>> {
  const printed = await readPublished(published);
  const rows = run.rows.filter(({ kind }) => kind === 'margin');
  const isSameData = run.source.network.dataset === dataset;
  const incomparable = isSameData
    ? missingClasses(run)
    : `the printed numbers are of ${dataset}; this preset uses another dataset`;
  const measured = [
    ...(isSameData ? atPublishedAccuracies(run, printed) : []),
    ...rows.map((row) => measuredRow(run, row, changeLabel(row.margin!, printed))),
    ['Original', 'all images to the last exit', ...where(run), run.original.accuracy, 0, run.original.flops, 0, HERE],
  ];
  const table = {
    name: 'comparison',
    title: titleOf(run, dataset, incomparable),
    columns: [
      ...['method', 'at', 'dataset', 'network', 'accuracy_fraction', 'accuracy_change_fraction'],
      ...['flops_per_image', 'flops_reduction_fraction', 'published', 'not_comparable'],
    ],
    rows: [
      ...printed.map((row) => [...printedRow(row, printed.at(-1)!, dataset), null]),
      ...measured.map((row) => [...row, incomparable ?? null]),
    ],
    consoleRows: printed.length + measured.length,
  };
  return { tables: [table] };
}

/** Why claims cannot be checked: fewer classes are easier to tell apart. Undefined if all classes have test images. */
function missingClasses({ testImages }: ScoredRun): string | undefined {
  const { classes, labels } = testImages;
  const present = new Set(labels).size;
  if (present === classes.length) return undefined;
  return `the test images are of ${present} of the ${counted(classes.length)} classes`;
}

const HERE = 'measured here';

function titleOf({ source }: ScoredRun, dataset: string, incomparable: string | undefined): string {
  if (incomparable === undefined) return 'Methods on the same dataset: as published, and measured here';
  if (source.network.dataset === dataset)
    return `Published numbers are of all of ${dataset}, ${incomparable}: not comparable`;
  return `Published numbers are of ${dataset}; measured here on ${source.network.dataset}: not comparable`;
}

const where = ({ source }: ScoredRun): FindingCell[] => [source.network.dataset, source.network.name];

function printedRow(row: PublishedRow, base: PublishedRow, dataset: string): FindingCell[] {
  const change = changeOf(row, base);
  const reduction = row.flopsReduction ?? Number((1 - row.flops / base.flops).toPrecision(6));
  const shown = [row.accuracy, change, row.flops, reduction];
  return [row.model, 'as printed', dataset, `resnet101-${dataset}`, ...shown, 'published'];
}

const changeOf = (row: PublishedRow, base: PublishedRow): number =>
  Number((row.accuracy - base.accuracy).toPrecision(6));

/** The fewest FLOPs at each printed accuracy. */
function atPublishedAccuracies(run: ScoredRun, printed: readonly PublishedRow[]): FindingCell[][] {
  const accuracies = [...new Set(printed.map(({ accuracy }) => accuracy))].sort((a, b) => a - b);
  const choose = searchOf(run);
  return accuracies.map((required): FindingCell[] => {
    const models = printed.filter(({ accuracy }) => accuracy === required).map(({ model }) => model);
    const at = `${percent(required, 1)}, as ${listed(models)}`;
    const thresholds = choose({ kind: 'accuracy', required });
    if (thresholds === undefined) return ['none reaches it', at, ...where(run), null, null, null, null, HERE];
    return measuredRow(run, { thresholds, ...reportOn(run.parts, thresholds, run.plan.costs) }, at);
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

function measuredRow(run: ScoredRun, row: Pick<Row, 'thresholds' | 'evaluation'>, at: string): FindingCell[] {
  const { accuracy, flops } = row.evaluation;
  const [change, reduction] = [accuracy - run.original.accuracy, 1 - flops / run.original.flops];
  return [modelName(row.thresholds), at, ...where(run), accuracy, change, flops, reduction, HERE];
}
