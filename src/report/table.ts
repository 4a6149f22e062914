import type { IntervalEnds } from '../statistics/samples.js';
import { searches as kinds } from '../thresholds/methods.js';
import { gigaFlops, renderColumns } from './findings.js';
import type { PublishedRow, TableRow } from './rows.js';

const percent = (share: number | null, digits = 2): string =>
  share === null ? '' : `${(100 * share).toFixed(digits)}%`;

/** A percentage and half the width of its 95 % interval: `44.11 ±0.67%`. Files have both ends. */
function percentWithin(share: number, interval: IntervalEnds | null | undefined): string {
  const half = interval == null ? '' : ` ±${(50 * (interval[1] - interval[0])).toFixed(2)}`;
  return `${(100 * share).toFixed(2)}${half}%`;
}

const milliseconds = (value: number | null): string => value?.toFixed(2) ?? '';
const isOriginal = (row: TableRow): boolean => row.thresholds.length === 0;

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

/** A column: its heading, the cell of a row, and the cell of the paper's row with its accuracy margin. */
type TableColumn = readonly [
  head: string,
  own: (row: TableRow) => string,
  paper: (row: PublishedRow, margin: number | null) => string,
];

/** The table's headings and lines, for the console and for the page. @param wide adds changed answers and the worst class */
export function tableCells(rows: readonly TableRow[], wide = false): { head: string[]; lines: TableLine[] } {
  const columns = columnsOf(rows, wide);
  const original = rows.find(isOriginal)?.published;
  const lines = rows.flatMap((row): TableLine[] => {
    const own: TableLine = { kind: 'own', cells: columns.map(([, cell]) => cell(row)) };
    const { published } = row;
    if (published === undefined) return [own];
    const margin = original === undefined || published === original ? null : original.accuracy - published.accuracy;
    return [own, { kind: 'paper', cells: columns.map(([, , cell]) => cell(published, margin)) }];
  });
  return { head: columns.map(([head]) => head), lines };
}

function columnsOf(rows: readonly TableRow[], wide: boolean): TableColumn[] {
  const when = (isShown: boolean, ...columns: readonly TableColumn[]) => (isShown ? columns : []);
  const gated = (cell: (row: TableRow) => string) => (row: TableRow) => (isOriginal(row) ? '' : cell(row));
  const none = (): string => '';
  const labelled = rows.every((row) => row.accuracy !== null);
  const searched = rows.some((row) => row.margin !== null || row.guarantee !== null || hasLimit(row));
  const isOneSearch = new Set(rows.flatMap((row) => row.search ?? [])).size < 2;
  const spread = rows.some((row) => row.spread !== null && row.accuracy !== null);
  const timed = rows.some((row) => row.speedMs !== null || row.published !== undefined);
  return [
    ['Model', ({ model }) => model, ({ model }) => `  paper: ${model}`],
    ...when(searched, ['Margin', (row) => targetOf(row, isOneSearch), (_, margin) => percent(margin, 1)]),
    ...when(!labelled, [
      'Agreement',
      gated((row) => percentWithin(1 - row.disagreement, row.intervals?.disagreement)),
      none,
    ]),
    ...when(labelled, ['ACC.', (row) => percent(row.accuracy), (row) => percent(row.accuracy)]),
    ...when(labelled && spread, ['of seeds', spreadText, none]),
    ...when(labelled, [
      'Drop',
      gated((row) => percentWithin(row.accuracyDrop!, row.intervals?.accuracyDrop)),
      (_, margin) => percent(margin),
    ]),
    ['FLOPs (G)', (row) => gigaFlops(row.flops), (row) => gigaFlops(row.flops)],
    [
      'FLOPs Reduction',
      gated((row) => percentWithin(row.flopsReduction, row.intervals?.flopsReduction)),
      (row) => percent(row.flopsReduction),
    ],
    ...when(
      timed,
      ['Speed (ms)', (row) => milliseconds(row.speedMs), (row) => milliseconds(row.speedMs)],
      ['Speed-up', (row) => percent(row.speedUp), (row) => percent(row.speedUp)],
      ['Efficiency', (row) => row.efficiency?.toFixed(2) ?? '', publishedEfficiency],
    ),
    [exitsHead(rows[0]?.exits.length ?? 0), exitsText, none],
    ...when(
      wide,
      ['Other answers', gated((row) => percent(row.disagreement)), none],
      ['Worst class, drop', gated((row) => percent(row.worstClassDrop)), none],
    ),
  ];
}

/** The paper's Speed-up over its FLOPs Reduction. */
const publishedEfficiency = ({ speedUp, flopsReduction }: PublishedRow): string =>
  speedUp === null || flopsReduction === null ? '' : (speedUp / flopsReduction).toFixed(2);

/** `Exits 1, 2, last (%)` */
function exitsHead(exits: number): string {
  const names = Array.from({ length: exits }, (_, i) => (i === exits - 1 ? 'last' : String(i + 1)));
  return `Exits ${names.join(', ')} (%)`;
}

const exitsText = ({ exits }: TableRow): string => exits.map((share) => (100 * share).toFixed(1).padStart(4)).join(' ');

function spreadText({ spread }: TableRow): string {
  const { lowest, highest } = spread?.accuracy ?? {};
  return lowest === undefined ? '' : `${(100 * lowest).toFixed(2)}..${(100 * highest!).toFixed(2)}%`;
}

const hasLimit = (row: TableRow): boolean => row.budget !== undefined || row.allowedDisagreement !== undefined;

/** The target of the thresholds: `1.7%`; with several searches `1.7% joint`; for a guarantee `<=0.5% at 95%`. */
function targetOf(row: TableRow, isOneSearch: boolean): string {
  const { margin, search, budget, allowedDisagreement, guarantee } = row;
  const short = (share: number): string => `${+(100 * share).toFixed(2)}%`;
  if (guarantee !== null) {
    const of = guarantee.of === 'agreement' ? ' other' : '';
    const how = guarantee.method === 'conformal' ? 'on average' : `at ${short(guarantee.confidence)}`;
    return `<=${short(guarantee.drop)}${of} ${how}`;
  }
  if (allowedDisagreement !== undefined) return `${short(allowedDisagreement)} other`;
  if (budget !== undefined) return `<=${short(budget)} FLOPs`;
  return `${percent(margin, 1)}${isOneSearch || search === null ? '' : ` ${kinds[search].short}`}`;
}
