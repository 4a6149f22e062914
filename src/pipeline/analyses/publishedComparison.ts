import type { AnalysisOf } from '../../experiment/analysis.js';
import type { Cell, Claim, Findings, Verdict } from '../../report/findings.js';
import { type PublishedRow, readPublished } from '../../report/published.js';
import { modelName } from '../../report/rows.js';
import type { Row } from '../search.js';
import { type PrintedClaim, printedClaim, settle } from './claims.js';
import { lossVerdict, measureRow, savingOf } from './measures.js';
import type { Study } from './study.js';
import { percent, points, within } from './words.js';

/** Section 3.4: searched margins beside what other methods are reported to reach. */
export async function publishedComparison(
  study: Study,
  { published, dataset }: AnalysisOf<'published-comparison'>,
): Promise<Findings> {
  const printed = await readPublished(published);
  const base = printed.at(-1)!;
  const rows = study.rows.filter(({ kind }) => kind === 'margin');
  const comparable = study.source.network.dataset === dataset;
  return {
    tables: [
      {
        name: 'comparison',
        title: comparable
          ? 'Methods on the same dataset: as published, and measured here'
          : `Published numbers are of ${dataset}; measured here on ${study.source.network.dataset}: not comparable`,
        columns: [
          'method',
          'dataset',
          'network',
          'accuracy_fraction',
          'accuracy_change_fraction',
          'flops_per_image',
          'flops_reduction_fraction',
          'published',
        ],
        rows: [
          ...printed.map((row) => printedRow(row, base, dataset)),
          ...rows.map((row) => measuredRow(study, row)),
          ['Original', ...where(study), study.original.accuracy, 0, study.original.flops, 0, 'measured here'],
        ],
        consoleRows: printed.length + rows.length + 1,
      },
    ],
    figures: [],
    sheets: [],
    claims: await claimsOf(study, rows, printed, comparable, dataset),
  };
}

const where = ({ source }: Study): Cell[] => [source.network.dataset, source.network.name];

function printedRow(row: PublishedRow, base: PublishedRow, dataset: string): Cell[] {
  const change = Number((row.accuracy - base.accuracy).toPrecision(6));
  const reduction = row.flopsReduction ?? Number((1 - row.flops / base.flops).toPrecision(6));
  return [row.model, dataset, `resnet101-${dataset}`, row.accuracy, change, row.flops, reduction, 'published'];
}

function measuredRow(study: Study, row: Row): Cell[] {
  const { accuracy, flops } = row.evaluation;
  const { original } = study;
  const change = accuracy - original.accuracy;
  const name = `${modelName(row.thresholds)}, margin ${percent(row.margin!, 1)}`;
  return [name, ...where(study), accuracy, change, flops, 1 - flops / original.flops, 'measured here'];
}

async function claimsOf(
  study: Study,
  rows: readonly Row[],
  printed: readonly PublishedRow[],
  comparable: boolean,
  dataset: string,
): Promise<Claim[]> {
  const add = (claim: PrintedClaim, margin: number): Claim[] => {
    const row = rows.find((found) => Math.abs(found.margin! - margin) < 1e-9);
    if (row === undefined) return [];
    const measures = measureRow(study, row);
    const { share, interval } = savingOf(measures, study.original.flops);
    const enough = interval.high >= claim.value;
    const loss = lossVerdict({ low: measures.dropInterval.low - margin, high: measures.dropInterval.high - margin });
    const verdict: Verdict = !comparable ? 'cannot be checked here' : enough ? loss : 'does not hold';
    return [
      settle(claim, study.experiment, {
        measured:
          `${percent(share)} ${within(interval)} fewer FLOPs, ` +
          `${points(measures.drop)} ${within(measures.dropInterval, 2)} lost (${study.source.network.dataset})`,
        verdict,
        why: comparable
          ? enough
            ? undefined
            : 'fewer images reach thresholds that lose nothing'
          : `the printed numbers are of ${dataset}, which this preset does not use`,
        trace: { file: 'table.csv', row: `margin_fraction = ${row.margin}` },
      }),
    ];
  };
  const base = printed.at(-1)!;
  const rival = printed.find(({ model }) => model === 'BlockDrop');
  const ofRival = Number((base.accuracy - (rival ?? base).accuracy).toPrecision(6));
  return [
    ...add(await printedClaim('imagenet-no-drop'), 0),
    ...(rival === undefined ? [] : add(await printedClaim('imagenet-blockdrop'), ofRival)),
  ];
}
