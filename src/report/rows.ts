import { type Column, csvOf, listAt, tabulate } from '../csv.js';
import type { IntervalEnds } from '../statistics/intervals.js';
import type { Thresholds } from '../thresholds/evaluate.js';
import type { GuaranteeMethod } from '../thresholds/guarantee.js';
import type { SearchMethod } from '../thresholds/methods.js';
import type { FindingTable } from './findings.js';

/** A row of the paper, shares as fractions. */
export interface PublishedRow {
  readonly model: string;
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly flopsReduction: number | null;
  readonly speedMs: number | null;
  readonly speedUp: number | null;
}

/** A row of a results table, as `--json` prints it. Shares are fractions; a quantity that was not measured is null. */
export interface TableRow {
  /** `dg(t1, t2)`, `cascade(t1)`, or `Original`. */
  readonly model: string;
  /** Accuracy margin of the search; null for fixed thresholds and the original. */
  readonly margin: number | null;
  /** Search method; null without a margin. */
  readonly search: SearchMethod | null;
  /** Requested FLOPs, as a share of the original's; absent without such a request. */
  readonly budget?: number;
  /** Average milliseconds of an image that the thresholds were to keep; absent if none were requested. */
  readonly latencyMs?: number;
  /** Requested share of answers that differ from the original's; absent without such a request. */
  readonly allowedDisagreement?: number;
  /** Guarantee of the thresholds; null without one. */
  readonly guarantee: RowGuarantee | null;
  /** One list per fold and seed, null for a closed gate; empty for the original. */
  readonly thresholds: readonly (readonly (number | null)[])[];
  /** Null without labels. */
  readonly accuracy: number | null;
  /** The original's accuracy minus this one's; null without labels. */
  readonly accuracyDrop: number | null;
  /** Average FLOPs per image, gates included. */
  readonly flops: number;
  /** 1 - flops / the original's flops. */
  readonly flopsReduction: number;
  readonly speedMs: number | null;
  readonly speedUp: number | null;
  /** Share of the FLOPs reduction that becomes speed-up, (1 - t/t0) / (1 - F/F0). */
  readonly efficiency: number | null;
  /** Share of images that leave at each exit, the original classifier last. */
  readonly exits: readonly number[];
  /** 95 % score intervals over the evaluation images, paired with the original, thresholds and gates fixed. */
  readonly intervals: RowIntervals | null;
  /** 95 % bootstrap intervals over selection and evaluation images, thresholds searched again; absent unless requested. */
  readonly chosenAgain?: Pick<RowIntervals, 'accuracyDrop' | 'flopsReduction' | 'disagreement'>;
  /** Seeds of the row, which is their mean. */
  readonly seeds: readonly number[];
  /** Spread over the seeds; null for a single seed. */
  readonly spread: RowSpread | null;
  /** Share of images whose answer differs from the original's. */
  readonly disagreement: number;
  /** Largest accuracy drop of a class; null without labels. */
  readonly worstClassDrop: number | null;
  /** The paper's row for the same margin. */
  readonly published?: PublishedRow;
}

/** Ends of intervals, in the units of the row. */
export interface RowIntervals {
  readonly accuracy: IntervalEnds | null;
  readonly accuracyDrop: IntervalEnds | null;
  readonly flops: IntervalEnds;
  readonly flopsReduction: IntervalEnds;
  /** Of images without labels only. */
  readonly disagreement?: IntervalEnds;
}

/**
 * With probability at least `confidence` over the draw of the selection images, the expected accuracy on new images is at
 * most `drop` below the original's.
 */
interface RowGuarantee {
  readonly drop: number;
  readonly confidence: number;
  /** `agreement`: `drop` is a share of answers that differ from the original's; no label was used. */
  readonly of?: 'agreement';
  /** Absent: the exact test. */
  readonly method?: GuaranteeMethod;
  /** Per part: whether open gates could be certified, the p-value (null without a test), the number of test images. */
  readonly parts: readonly { readonly open: boolean; readonly pValue: number | null; readonly testedOn: number }[];
}

/** Lowest and highest value over the seeds, and the standard deviation (n - 1). */
export interface Spread {
  readonly lowest: number;
  readonly highest: number;
  readonly deviation: number;
}

export interface RowSpread {
  readonly accuracy: Spread | null;
  readonly accuracyDrop: Spread | null;
  readonly flops: Spread;
  readonly flopsReduction: Spread;
}

/** `dg(1.25, 2.00)`; different thresholds of folds as `dg(1.25, 2.00 | 1.31, 1.97)`. */
export function modelName(thresholds: readonly Thresholds[], system: 'dg' | 'cascade' = 'dg'): string {
  const shown = thresholds.map((part) => {
    return part.map((t) => (Number.isFinite(t) ? t.toFixed(2) : 'closed')).join(', ');
  });
  return `${system}(${[...new Set(shown)].join(' | ')})`;
}

/** The row without labels: no accuracy; the drop against the original's answers is disagreement. */
export function withoutAccuracy(row: TableRow): TableRow {
  const ofAgreement = <T extends { accuracyDrop: IntervalEnds | null }>({ accuracyDrop, ...ends }: T) => {
    return { ...ends, accuracyDrop: null, ...(accuracyDrop && { disagreement: accuracyDrop }) };
  };
  return {
    ...row,
    accuracy: null,
    accuracyDrop: null,
    worstClassDrop: null,
    intervals: row.intervals && { ...ofAgreement(row.intervals), accuracy: null },
    ...(row.chosenAgain && { chosenAgain: ofAgreement(row.chosenAgain) }),
  };
}

/** The mean accuracy of one kind of rows over a range of FLOPs. */
export interface Area {
  /** The search of margins, or `budget`, `disagreement`. */
  readonly rows: SearchMethod | 'budget' | 'disagreement';
  /** Where the range begins, as a share of the original's FLOPs; it ends at 1. */
  readonly from: number;
  /** Mean accuracy over the range; without labels, mean agreement with the original. */
  readonly area: number;
}

/**
 * The area under accuracy against FLOPs of each kind with at least two rows, divided by the width of the range. Between
 * neighbouring rows, and to the original, lie straight lines: a random mixture of two systems reaches them. All kinds have
 * the same range; it begins at the largest of their lowest FLOPs.
 *
 * @param rows of a table, the original last
 */
export function areasOf(rows: readonly TableRow[]): Area[] {
  const kinds = new Map<Area['rows'], { share: number; value: number }[]>();
  const pointOf = (row: TableRow) => ({ share: 1 - row.flopsReduction, value: row.accuracy ?? 1 - row.disagreement });
  for (const row of rows) {
    const kind =
      row.budget !== undefined ? 'budget' : row.allowedDisagreement !== undefined ? 'disagreement' : row.search;
    const point = pointOf(row);
    if (kind !== null && point.share < 1) listAt(kinds, kind).push(point);
  }
  const curves = [...kinds].filter(([, points]) => points.length > 1);
  const from = Math.max(...curves.map(([, points]) => Math.min(...points.map(({ share }) => share))));
  return curves.map(([kind, points]) => {
    const line = [...points.sort((a, b) => a.share - b.share), { ...pointOf(rows.at(-1)!), share: 1 }];
    const area = line.slice(1).reduce((sum, b, i) => {
      const a = line[i]!;
      if (b.share <= from) return sum;
      const begin = Math.max(a.share, from);
      const atBegin = a.value + ((b.value - a.value) * (begin - a.share)) / (b.share - a.share);
      return sum + ((b.share - begin) * (atBegin + b.value)) / 2;
    }, 0);
    return { rows: kind, from, area: area / (1 - from) };
  });
}

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
    ['latency_budget_ms', (row) => row.latencyMs],
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

/** A table of an analysis as CSV: full precision, empty where not measured. @throws Error if a row has too many or too few cells */
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
