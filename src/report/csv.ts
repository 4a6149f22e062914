import { stringify } from 'csv-stringify/sync';
import type { PublishedRow } from './published.js';
import type { TableRow } from './rows.js';

/**
 * The table as CSV: plain numbers, units in the column names, one order of columns. Thresholds stand in one column per
 * gate and part (`t1_fold1`); a closed gate is `Infinity`; what was not measured is empty.
 */
export function renderCsv(rows: readonly TableRow[]): string {
  const parts = Math.max(1, ...rows.map((row) => row.thresholds.length));
  const gates = Math.max(0, ...rows.map((row) => row.exits.length - 1));
  const published = rows.some((row) => row.published !== undefined);
  const names = Array.from({ length: parts }, (_, part) =>
    Array.from({ length: gates }, (_, gate) => `t${gate + 1}${parts > 1 ? `_fold${part + 1}` : ''}`),
  );
  const columns = [
    'model',
    'margin_fraction',
    ...names.flat(),
    'accuracy_fraction',
    'accuracy_drop_fraction',
    'flops_per_image',
    'flops_reduction_fraction',
    'speed_ms',
    'speed_up_fraction',
    ...Array.from({ length: gates + 1 }, (_, exit) => `exit${exit + 1}_fraction`),
    ...(published ? publishedColumns : []),
  ];
  const records = rows.map((row) => [
    row.model,
    row.margin,
    ...names.flatMap((part, p) => part.map((_, gate) => thresholdText(row.thresholds[p], gate))),
    row.accuracy,
    row.accuracyDrop,
    row.flops,
    row.flopsReduction,
    row.speedMs,
    row.speedUp,
    ...row.exits,
    ...(published ? publishedValues(row.published) : []),
  ]);
  return stringify([columns, ...records]);
}

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
