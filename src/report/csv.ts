import { type Column, csvOf, tabulate } from '../csv.js';
import type { FindingTable } from './findings.js';
import type { TableRow } from './rows.js';

type TableColumn = Column<TableRow, string | number | null | undefined>;

/** Quantities with an interval and, over several seeds, a spread: key in the row, column name before and after the end. */
const measures = [
  ['accuracy', 'accuracy', 'fraction'],
  ['accuracyDrop', 'accuracy_drop', 'fraction'],
  ['flops', 'flops', 'per_image'],
  ['flopsReduction', 'flops_reduction', 'fraction'],
  ['disagreement', 'disagreement', 'fraction'],
] as const;

/**
 * The table as CSV: plain numbers, units in the column names, a fixed order of columns. Thresholds have one column per
 * gate and part (`t1_fold1`, `t1_seed0_fold1`). A closed gate is `Infinity`; a value that was not measured is empty.
 */
export function renderCsv(rows: readonly TableRow[]): string {
  const parts = Math.max(1, ...rows.map((row) => row.thresholds.length));
  const gates = Math.max(0, ...rows.map((row) => row.exits.length - 1));
  const labelled = rows.every((row) => row.accuracy !== null);
  const shown = measures.filter(([key]) => (labelled ? key !== 'disagreement' : !key.startsWith('accuracy')));
  const has = (key: 'chosenAgain' | 'spread' | 'published'): boolean => rows.some((row) => row[key] != null);
  const each = (count: number, column: (i: number) => TableColumn): TableColumn[] =>
    Array.from({ length: count }, (_, i) => column(i));
  const { columns, rows: records } = tabulate(rows, [
    ['model', (row) => row.model],
    ['margin_fraction', (row) => row.margin],
    ['search', (row) => row.search],
    ['guaranteed_drop_fraction', (row) => row.guarantee?.drop],
    ['guarantee_confidence_fraction', (row) => row.guarantee?.confidence],
    ...partNames(rows[0]?.seeds ?? [], parts).flatMap((name, part) =>
      each(gates, (gate) => [`t${gate + 1}${name}`, (row) => thresholdText(row.thresholds[part], gate)]),
    ),
    ...(labelled ? accuracyColumns : [agreementColumn]),
    ['flops_per_image', (row) => row.flops],
    ['flops_reduction_fraction', (row) => row.flopsReduction],
    ['speed_ms', (row) => row.speedMs],
    ['speed_up_fraction', (row) => row.speedUp],
    ['efficiency_fraction', (row) => row.efficiency],
    ...each(gates + 1, (exit) => [`exit${exit + 1}_fraction`, (row) => row.exits[exit]]),
    ...shown.flatMap(([key, name, unit]) =>
      each(2, (end) => [`${name}_${['low', 'high'][end]}_${unit}`, (row) => row.intervals?.[key]?.[end]]),
    ),
    ['seeds', (row) => row.seeds.join(' ')],
    ['budget_fraction', (row) => row.budget],
    ['allowed_disagreement_fraction', (row) => row.allowedDisagreement],
    ['guarantee_of', (row) => (row.guarantee === null ? null : (row.guarantee.of ?? 'accuracy'))],
    ['disagreement_fraction', (row) => row.disagreement],
    ...(labelled ? [worstClassColumn] : []),
    ...(has('chosenAgain') ? chosenAgainColumns(labelled) : []),
    ...(has('spread') ? spreadColumns(shown) : []),
    ...(has('published') ? publishedColumns : []),
  ]);
  return csvOf([columns, ...records]);
}

/**
 * A table of an analysis as CSV: full precision; a value that was not measured is empty.
 *
 * @throws Error if a row has too many or too few cells
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

const accuracyColumns: readonly TableColumn[] = [
  ['accuracy_fraction', (row) => row.accuracy],
  ['accuracy_drop_fraction', (row) => row.accuracyDrop],
];
const agreementColumn: TableColumn = ['agreement_fraction', (row) => 1 - row.disagreement];
const worstClassColumn: TableColumn = ['worst_class_drop_fraction', (row) => row.worstClassDrop];

function chosenAgainColumns(labelled: boolean): TableColumn[] {
  const lost = labelled ? (['accuracyDrop', 'accuracy_drop'] as const) : (['disagreement', 'disagreement'] as const);
  return [lost, ['flopsReduction', 'flops_reduction'] as const].flatMap(([key, name]): TableColumn[] => [
    [`${name}_chosen_again_low_fraction`, (row) => row.chosenAgain?.[key]?.[0]],
    [`${name}_chosen_again_high_fraction`, (row) => row.chosenAgain?.[key]?.[1]],
  ]);
}

const spreadColumns = (shown: readonly (typeof measures)[number][]): TableColumn[] =>
  shown.flatMap(([key, name, unit]) =>
    (['lowest', 'highest', 'deviation'] as const).map((of): TableColumn => {
      return [`${name}_seeds_${of}_${unit}`, (row) => (key === 'disagreement' ? null : row.spread?.[key]?.[of])];
    }),
  );

const publishedColumns: readonly TableColumn[] = [
  ['published_model', ({ published }) => published?.model],
  ['published_accuracy_fraction', ({ published }) => published?.accuracy],
  ['published_flops_per_image', ({ published }) => published?.flops],
  ['published_flops_reduction_fraction', ({ published }) => published?.flopsReduction],
  ['published_speed_ms', ({ published }) => published?.speedMs],
  ['published_speed_up_fraction', ({ published }) => published?.speedUp],
];

function thresholdText(part: readonly (number | null)[] | undefined, gate: number): string {
  return part === undefined ? '' : String(part[gate] ?? Number.POSITIVE_INFINITY);
}
