import type { IntervalEnds } from '../statistics/samples.js';
import { searches as kinds } from '../thresholds/methods.js';
import { gigaFlops, renderColumns } from './columns.js';
import type { PublishedRow, TableRow } from './rows.js';

const percent = (share: number | null, digits = 2): string =>
  share === null ? '' : `${(100 * share).toFixed(digits)}%`;

/** A percentage and half the width of its 95 % interval: `44.11 ±0.67%`. Files have both ends. */
function percentWithin(share: number, interval: IntervalEnds | null | undefined): string {
  const half = interval == null ? '' : ` ±${(50 * (interval[1] - interval[0])).toFixed(2)}`;
  return `${(100 * share).toFixed(2)}${half}%`;
}

const milliseconds = (value: number | null): string => value?.toFixed(2) ?? '';

/** The optional columns of a table. */
interface TableColumns {
  /** Whether accuracy is known; else agreement with the original stands in its place. */
  readonly labelled: boolean;
  readonly searched: boolean;
  /** Whether there is more than one search method. */
  readonly searches: boolean;
  readonly spread: boolean;
  readonly timed: boolean;
  readonly exits: number;
  /** Whether with the columns that the console has no room for. */
  readonly wide: boolean;
}

/** The console table: the paper's columns, the drop and the exits; the paper's row below each row. */
export function renderTable(rows: readonly TableRow[]): string {
  const { head, lines } = tableCells(rows);
  return renderColumns(
    head.map((name) => (name.length > 8 ? name.replace(' ', '\n') : name)),
    lines.map(({ cells }) => cells),
  );
}

/** A line of the table as text: a row of the run, or the paper's row for the row above. */
export interface TableLine {
  readonly kind: 'own' | 'paper';
  readonly cells: readonly string[];
}

/** The table's headings and lines, for the console and for the page. @param wide also changed answers and the worst class */
export function tableCells(rows: readonly TableRow[], wide = false): { head: string[]; lines: TableLine[] } {
  const columns: TableColumns = {
    labelled: rows.every((row) => row.accuracy !== null),
    searched: rows.some((row) => row.margin !== null || row.guarantee !== null || hasLimit(row)),
    searches: new Set(rows.flatMap((row) => row.search ?? [])).size > 1,
    spread: rows.some((row) => row.spread !== null && row.accuracy !== null),
    timed: rows.some((row) => row.speedMs !== null || row.published !== undefined),
    exits: rows[0]?.exits.length ?? 0,
    wide,
  };
  const head = [
    'Model',
    ...(columns.searched ? ['Margin'] : []),
    ...(columns.labelled ? ['ACC.', ...(columns.spread ? ['of seeds'] : []), 'Drop'] : ['Agreement']),
    'FLOPs (G)',
    'FLOPs Reduction',
    ...(columns.timed ? ['Speed (ms)', 'Speed-up', 'Efficiency'] : []),
    exitsHead(columns.exits),
    ...(wide ? ['Other answers', 'Worst class, drop'] : []),
  ];
  const published = rows.find(isOriginal)?.published;
  const lines = rows.flatMap((row): TableLine[] => {
    const own: TableLine = { kind: 'own', cells: ownCells(row, columns) };
    if (row.published === undefined) return [own];
    return [own, { kind: 'paper', cells: publishedCells(row.published, published, columns) }];
  });
  return { head, lines };
}

/** The paper's Speed-up over its FLOPs Reduction. */
const publishedEfficiency = ({ speedUp, flopsReduction }: PublishedRow): string =>
  speedUp === null || flopsReduction === null ? '' : (speedUp / flopsReduction).toFixed(2);

const isOriginal = (row: TableRow): boolean => row.thresholds.length === 0;

/** `Exits 1, 2, last (%)`: shares of images by exit, in one column. */
function exitsHead(exits: number): string {
  const names = Array.from({ length: exits }, (_, i) => (i === exits - 1 ? 'last' : String(i + 1)));
  return `Exits ${names.join(', ')} (%)`;
}

function ownCells(row: TableRow, { labelled, searched, searches, spread, timed, wide }: TableColumns): string[] {
  const gated = !isOriginal(row);
  const { lowest, highest } = row.spread?.accuracy ?? {};
  return [
    row.model,
    ...(searched ? [targetOf(row, searches)] : []),
    ...(labelled
      ? [percent(row.accuracy)]
      : [gated ? percentWithin(1 - row.disagreement, row.intervals?.disagreement) : '']),
    ...(spread ? [lowest === undefined ? '' : `${(100 * lowest).toFixed(2)}..${(100 * highest!).toFixed(2)}%`] : []),
    ...(labelled ? [gated ? percentWithin(row.accuracyDrop!, row.intervals?.accuracyDrop) : ''] : []),
    gigaFlops(row.flops),
    gated ? percentWithin(row.flopsReduction, row.intervals?.flopsReduction) : '',
    ...(timed ? [milliseconds(row.speedMs), percent(row.speedUp), row.efficiency?.toFixed(2) ?? ''] : []),
    row.exits.map((share) => (100 * share).toFixed(1).padStart(4)).join(' '),
    ...(wide ? [gated ? percent(row.disagreement) : '', gated ? percent(row.worstClassDrop) : ''] : []),
  ];
}

const hasLimit = (row: TableRow): boolean => row.budget !== undefined || row.allowedDisagreement !== undefined;

/** The target of the thresholds: `1.7%`; with several searches `1.7% joint`; for a guarantee `<=0.5% at 95%`. */
function targetOf({ margin, search, budget, allowedDisagreement, guarantee }: TableRow, searches: boolean): string {
  const short = (share: number): string => `${+(100 * share).toFixed(2)}%`;
  if (guarantee !== null) {
    const of = guarantee.of === 'agreement' ? ' other' : '';
    return `<=${short(guarantee.drop)}${of} ${guarantee.method === 'conformal' ? 'on average' : `at ${short(guarantee.confidence)}`}`;
  }
  if (allowedDisagreement !== undefined) return `${short(allowedDisagreement)} other`;
  if (budget !== undefined) return `<=${short(budget)} FLOPs`;
  return `${percent(margin, 1)}${searches && search !== null ? ` ${kinds[search].short}` : ''}`;
}

/** @param original the paper's original network, to compute the margin */
function publishedCells(row: PublishedRow, original: PublishedRow | undefined, columns: TableColumns): string[] {
  const margin = original === undefined || row === original ? null : original.accuracy - row.accuracy;
  return [
    `  paper: ${row.model}`,
    ...(columns.searched ? [percent(margin, 1)] : []),
    percent(row.accuracy),
    ...(columns.spread ? [''] : []),
    percent(margin),
    gigaFlops(row.flops),
    percent(row.flopsReduction),
    ...(columns.timed ? [milliseconds(row.speedMs), percent(row.speedUp), publishedEfficiency(row)] : []),
    '',
    ...(columns.wide ? ['', ''] : []),
  ];
}
