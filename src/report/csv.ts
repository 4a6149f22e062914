import { csvOf } from '../csv.js';
import type { FindingTable } from './findings.js';
import type { PublishedRow, Spread, TableRow } from './rows.js';

/**
 * The table as CSV: plain numbers, units in the column names, a fixed order of columns. Thresholds have one column per
 * gate and part (`t1_fold1`, `t1_seed0_fold1`); a closed gate is `Infinity`; values that were not measured are empty.
 */
export function renderCsv(rows: readonly TableRow[]): string {
  const parts = Math.max(1, ...rows.map((row) => row.thresholds.length));
  const gates = Math.max(0, ...rows.map((row) => row.exits.length - 1));
  const spread = rows.some((row) => row.spread !== null);
  const published = rows.some((row) => row.published !== undefined);
  const names = partNames(rows[0]?.seeds ?? [], parts).map((part) =>
    Array.from({ length: gates }, (_, gate) => `t${gate + 1}${part}`),
  );
  const columns = [
    'model',
    'margin_fraction',
    'search',
    'guaranteed_drop_fraction',
    'guarantee_confidence_fraction',
    ...names.flat(),
    'accuracy_fraction',
    'accuracy_drop_fraction',
    'flops_per_image',
    'flops_reduction_fraction',
    'speed_ms',
    'speed_up_fraction',
    'efficiency_fraction',
    ...Array.from({ length: gates + 1 }, (_, exit) => `exit${exit + 1}_fraction`),
    ...intervalColumns,
    'seeds',
    ...(spread ? spreadColumns : []),
    ...(published ? publishedColumns : []),
  ];
  const records = rows.map((row) => [
    row.model,
    row.margin,
    row.search,
    row.guarantee?.drop,
    row.guarantee?.confidence,
    ...names.flatMap((part, p) => part.map((_, gate) => thresholdText(row.thresholds[p], gate))),
    row.accuracy,
    row.accuracyDrop,
    row.flops,
    row.flopsReduction,
    row.speedMs,
    row.speedUp,
    row.efficiency,
    ...row.exits,
    ...measures.flatMap(({ key }) => [row.intervals?.[key][0], row.intervals?.[key][1]]),
    row.seeds.join(' '),
    ...(spread ? measures.flatMap(({ key }) => spreadValues(row.spread?.[key])) : []),
    ...(published ? publishedValues(row.published) : []),
  ]);
  return csvOf([columns, ...records]);
}

/**
 * A table of an analysis as CSV: full precision, values that were not measured are empty.
 *
 * @throws Error if the cells of a row do not match the columns
 */
export function renderFindingCsv({ name, columns, rows }: FindingTable): string {
  const odd = rows.findIndex((row) => row.length !== columns.length);
  if (odd >= 0) throw new Error(`${name}.csv: row ${odd + 1} has ${rows[odd]?.length} cells, not ${columns.length}`);
  return csvOf([columns, ...rows]);
}

/** Suffixes of the threshold columns of each part: the seed, the fold, or both. */
function partNames(seeds: readonly number[], parts: number): string[] {
  const folds = Math.round(parts / Math.max(1, seeds.length));
  const fold = (number: number): string => (folds > 1 ? `_fold${number + 1}` : '');
  const seed = (number: number): string => (seeds.length > 1 ? `_seed${seeds[number]}` : '');
  return Array.from({ length: parts }, (_, part) => `${seed(Math.floor(part / folds))}${fold(part % folds)}`);
}

/** Quantities with an interval, and with a spread if there are several seeds. */
const measures = [
  { key: 'accuracy', column: (of: string) => `accuracy_${of}_fraction` },
  { key: 'accuracyDrop', column: (of: string) => `accuracy_drop_${of}_fraction` },
  { key: 'flops', column: (of: string) => `flops_${of}_per_image` },
  { key: 'flopsReduction', column: (of: string) => `flops_reduction_${of}_fraction` },
] as const;

/** Ends of the 95 % intervals. */
const intervalColumns = measures.flatMap(({ column }) => [column('low'), column('high')]);
const spreadColumns = measures.flatMap(({ column }) =>
  ['seeds_lowest', 'seeds_highest', 'seeds_deviation'].map(column),
);

const spreadValues = (spread: Spread | undefined): (number | undefined)[] => [
  spread?.lowest,
  spread?.highest,
  spread?.deviation,
];

const publishedColumns = [
  'published_model',
  'published_accuracy_fraction',
  'published_flops_per_image',
  'published_flops_reduction_fraction',
  'published_speed_ms',
  'published_speed_up_fraction',
];

function publishedValues(row: PublishedRow | undefined): (string | number | null | undefined)[] {
  return [row?.model, row?.accuracy, row?.flops, row?.flopsReduction, row?.speedMs, row?.speedUp];
}

function thresholdText(part: readonly (number | null)[] | undefined, gate: number): string {
  if (part === undefined) return '';
  return String(part[gate] ?? Number.POSITIVE_INFINITY);
}
