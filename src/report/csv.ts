import { type Column, csvOf, tabulate } from '../csv.js';
import type { FindingTable } from './findings.js';
import type { TableRow } from './rows.js';

/**
 * The table as CSV: plain numbers, units in the column names, a fixed order of columns. Thresholds have one column per
 * gate and part (`t1_fold1`, `t1_seed0_fold1`); a closed gate is `Infinity`; values that were not measured are empty.
 */
export function renderCsv(rows: readonly TableRow[]): string {
  const parts = Math.max(1, ...rows.map((row) => row.thresholds.length));
  const gates = Math.max(0, ...rows.map((row) => row.exits.length - 1));
  const spread = rows.some((row) => row.spread !== null);
  const published = rows.some((row) => row.published !== undefined);
  const labelled = rows.every((row) => row.accuracy !== null);
  const shown = measures.filter(({ key }) => (labelled ? key !== 'disagreement' : !key.startsWith('accuracy')));
  const thresholds = partNames(rows[0]?.seeds ?? [], parts).flatMap((name, part) =>
    Array.from({ length: gates }, (_, gate): TableColumn => {
      return [`t${gate + 1}${name}`, (row) => thresholdText(row.thresholds[part], gate)];
    }),
  );
  const { columns, rows: records } = tabulate<TableRow, Cell>(rows, [
    ['model', (row) => row.model],
    ['margin_fraction', (row) => row.margin],
    ['search', (row) => row.search],
    ['guaranteed_drop_fraction', (row) => row.guarantee?.drop],
    ['guarantee_confidence_fraction', (row) => row.guarantee?.confidence],
    ...thresholds,
    ...(labelled ? accuracyColumns : [agreementColumn]),
    ['flops_per_image', (row) => row.flops],
    ['flops_reduction_fraction', (row) => row.flopsReduction],
    ['speed_ms', (row) => row.speedMs],
    ['speed_up_fraction', (row) => row.speedUp],
    ['efficiency_fraction', (row) => row.efficiency],
    ...Array.from({ length: gates + 1 }, (_, exit): TableColumn => {
      return [`exit${exit + 1}_fraction`, (row) => row.exits[exit]];
    }),
    ...intervalColumns(shown),
    ['seeds', (row) => row.seeds.join(' ')],
    ['budget_fraction', (row) => row.budget],
    ['allowed_disagreement_fraction', (row) => row.allowedDisagreement],
    ['guarantee_of', (row) => (row.guarantee === null ? null : (row.guarantee.of ?? 'accuracy'))],
    ['disagreement_fraction', (row) => row.disagreement],
    ...(labelled ? [worstClassColumn] : []),
    ...(rows.some((row) => row.chosenAgain !== undefined) ? chosenAgainColumns(labelled) : []),
    ...(spread ? spreadColumns(shown) : []),
    ...(published ? publishedColumns : []),
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
  { key: 'disagreement', column: (of: string) => `disagreement_${of}_fraction` },
] as const;

type Cell = string | number | null | undefined;
type TableColumn = Column<TableRow, Cell>;

const accuracyColumns: readonly TableColumn[] = [
  ['accuracy_fraction', (row) => row.accuracy],
  ['accuracy_drop_fraction', (row) => row.accuracyDrop],
];
const agreementColumn: TableColumn = ['agreement_fraction', (row) => 1 - row.disagreement];
const worstClassColumn: TableColumn = ['worst_class_drop_fraction', (row) => row.worstClassDrop];

/** Ends of the intervals that take in the choice of thresholds. */
function chosenAgainColumns(labelled: boolean): TableColumn[] {
  const lost = labelled ? (['accuracyDrop', 'accuracy_drop'] as const) : (['disagreement', 'disagreement'] as const);
  return [lost, ['flopsReduction', 'flops_reduction'] as const].flatMap(([key, name]): TableColumn[] => [
    [`${name}_chosen_again_low_fraction`, (row) => row.chosenAgain?.[key]?.[0]],
    [`${name}_chosen_again_high_fraction`, (row) => row.chosenAgain?.[key]?.[1]],
  ]);
}

type Measure = (typeof measures)[number];

/** Ends of the 95 % intervals. */
const intervalColumns = (shown: readonly Measure[]): TableColumn[] =>
  shown.flatMap(({ key, column }): TableColumn[] => [
    [column('low'), (row) => row.intervals?.[key]?.[0]],
    [column('high'), (row) => row.intervals?.[key]?.[1]],
  ]);

const spreadColumns = (shown: readonly Measure[]): TableColumn[] =>
  shown.flatMap(({ key, column }) =>
    (['lowest', 'highest', 'deviation'] as const).map((of): TableColumn => {
      return [column(`seeds_${of}`), (row) => (key === 'disagreement' ? null : row.spread?.[key]?.[of])];
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
  if (part === undefined) return '';
  return String(part[gate] ?? Number.POSITIVE_INFINITY);
}
