import { type Column, csvOf, tabulate } from '../csv.js';
import { visible } from '../escape.js';
import { counted } from '../json.js';
import type { Interval, IntervalEnds } from '../statistics/intervals.js';
import { searches as kinds } from '../thresholds/methods.js';
import type { Agreement, BatchTiming, RowTiming, TimingRecord } from '../timing/record.js';
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

/** A column: its heading, the cell of a row, and the cell of the paper's row with its accuracy margin, if it has one. */
type TableColumn = readonly [
  head: string,
  own: (row: TableRow) => string,
  paper?: (row: PublishedRow, margin: number | null) => string,
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
    return [own, { kind: 'paper', cells: columns.map(([, , cell]) => cell?.(published, margin) ?? '') }];
  });
  return { head: columns.map(([head]) => head), lines };
}

function columnsOf(rows: readonly TableRow[], wide: boolean): TableColumn[] {
  const when = (isShown: boolean, ...columns: readonly TableColumn[]) => (isShown ? columns : []);
  const gated = (cell: (row: TableRow) => string) => (row: TableRow) => (isOriginal(row) ? '' : cell(row));
  const within = (of: 'accuracyDrop' | 'flopsReduction') =>
    gated((row) => percentWithin(row[of]!, row.intervals?.[of]));
  const labelled = rows.every((row) => row.accuracy !== null);
  const searched = rows.some(({ margin, guarantee, budget, latencyMs, allowedDisagreement }) => {
    return (margin ?? guarantee ?? budget ?? latencyMs ?? allowedDisagreement ?? null) !== null;
  });
  const isOneSearch = new Set(rows.flatMap((row) => row.search ?? [])).size < 2;
  const spread = rows.some((row) => row.spread !== null && row.accuracy !== null);
  const timed = rows.some((row) => row.speedMs !== null || row.published !== undefined);
  const exits = (rows[0]?.exits ?? []).map((_, i, all) => (i === all.length - 1 ? 'last' : i + 1));
  return [
    ['Model', ({ model }) => model, ({ model }) => `  paper: ${model}`],
    ...when(searched, ['Margin', (row) => targetOf(row, isOneSearch), (_, margin) => percent(margin, 1)]),
    ...when(!labelled, ['Agreement', gated((row) => percentWithin(1 - row.disagreement, row.intervals?.disagreement))]),
    ...when(labelled, ['ACC.', (row) => percent(row.accuracy), (row) => percent(row.accuracy)]),
    ...when(labelled && spread, ['of seeds', spreadText]),
    ...when(labelled, ['Drop', within('accuracyDrop'), (_, margin) => percent(margin)]),
    ['FLOPs (G)', (row) => gigaFlops(row.flops), (row) => gigaFlops(row.flops)],
    ['FLOPs Reduction', within('flopsReduction'), (row) => percent(row.flopsReduction)],
    ...when(
      timed,
      ['Speed (ms)', (row) => milliseconds(row.speedMs), (row) => milliseconds(row.speedMs)],
      ['Speed-up', (row) => percent(row.speedUp), (row) => percent(row.speedUp)],
      ['Efficiency', (row) => row.efficiency?.toFixed(2) ?? '', publishedEfficiency],
    ),
    [`Exits ${exits.join(', ')} (%)`, exitsText],
    ...when(
      wide,
      ['Other answers', gated((row) => percent(row.disagreement))],
      ['Worst class, drop', gated((row) => percent(row.worstClassDrop))],
    ),
  ];
}

/** The paper's Speed-up over its FLOPs Reduction. */
const publishedEfficiency = ({ speedUp, flopsReduction }: PublishedRow): string =>
  speedUp === null || flopsReduction === null ? '' : (speedUp / flopsReduction).toFixed(2);

const exitsText = ({ exits }: TableRow): string => exits.map((share) => (100 * share).toFixed(1).padStart(4)).join(' ');

function spreadText({ spread }: TableRow): string {
  const { lowest, highest } = spread?.accuracy ?? {};
  return lowest === undefined ? '' : `${(100 * lowest).toFixed(2)}..${(100 * highest!).toFixed(2)}%`;
}

/** The target of the thresholds: `1.7%`; with several searches `1.7% joint`; for a guarantee `<=0.5% at 95%`. */
function targetOf(row: TableRow, isOneSearch: boolean): string {
  const { margin, search, budget, latencyMs, allowedDisagreement, guarantee } = row;
  const short = (share: number): string => `${+(100 * share).toFixed(2)}%`;
  if (guarantee !== null) {
    const of = guarantee.of === 'agreement' ? ' other' : '';
    const how = guarantee.method === 'conformal' ? 'on average' : `at ${short(guarantee.confidence)}`;
    return `<=${short(guarantee.drop)}${of} ${how}`;
  }
  if (allowedDisagreement !== undefined) return `${short(allowedDisagreement)} other`;
  if (latencyMs !== undefined) return `<=${latencyMs} ms`;
  if (budget !== undefined) return `<=${short(budget)} FLOPs`;
  return `${percent(margin, 1)}${isOneSearch || search === null ? '' : ` ${kinds[search].short}`}`;
}

const tenths = (share: number): string => percent(share, 1);
const fourDigits = (ms: number): string => ms.toPrecision(4);

const range = (interval: Interval | null, show: (value: number) => string): string =>
  interval === null ? '' : `${show(interval.low)} to ${show(interval.high)}`;

/** The console report of `dgate time`: the table, the machine, the warnings. */
export function renderTiming(record: TimingRecord): string {
  const { engine, machine } = record;
  const rows = record.batches.flatMap(({ batch, rows }) => rows.map((row) => ({ batch, ...row })));
  const table = tabulate(rows, timingColumns);
  const clock =
    machine.clockMhz === null ? 'unknown' : `${[...new Set(machine.clockMhz.map(Math.round))].join(' to ')} MHz`;
  const versions = Object.entries({ dgate: record.dgate, node: machine.node, ...engine.versions });
  return [
    visible(`Timed evaluation of ${record.experiment}, preset ${record.preset}: ${record.network}`),
    renderColumns(table.columns, table.rows),
    't0, t       mean milliseconds of a batch, original and gated network in turn; p90 the 90th percentile; speed-up 1 - t/t0',
    '            of all test images (t/t0 of those timed, moved to the FLOPs of all), with its 95 % interval;',
    '            efficiency (1 - t/t0) / (1 - F/F0)',
    'File        of dgate export; Memory is what running it adds to a process that has ONNX Runtime and the images',
    record.repeats === 1
      ? 'Repeats     1 process: the intervals lack the variation between processes (--repeats 3)'
      : `Repeats     ${record.repeats} processes; the intervals contain their variation (Student's t)`,
    ...record.batches.map(describeBatch),
    ...describeVerified(record),
    `Engine      ${engine.id} on ${engine.device}, ${engine.threads} threads`,
    `Machine     ${machine.processor}, ${machine.cores} cores, clock ${clock}, governor ${machine.governor ?? 'unknown'}; ${machine.system}`,
    ...machine.gpus.map((gpu) => `GPU         ${gpu}`),
    `Versions    ${versions.map(([name, version]) => `${name} ${version}`).join(', ')}`,
    `Measured    ${record.date}`,
    ...timingWarnings(record).map((warning) => `Warning     ${warning}`),
  ].join('\n');
}

const timingColumns: readonly Column<{ readonly batch: number } & RowTiming, string>[] = [
  ['Model', (row) => row.model],
  ['Batch', (row) => String(row.batch)],
  ['t0 (ms)', (row) => fourDigits(row.originalMs.mean)],
  ['t (ms)', (row) => fourDigits(row.gatedMs.mean)],
  ['t0 p90', (row) => fourDigits(row.originalMs.p90)],
  ['t p90', (row) => fourDigits(row.gatedMs.p90)],
  ['Speed-up', (row) => tenths(row.speedUp)],
  ['95 %', (row) => range(row.speedUpInterval, tenths)],
  ['FLOPs Reduction', (row) => tenths(row.flopsReduction)],
  ['Efficiency', (row) => row.efficiency?.toFixed(2) ?? ''],
  ['95 %', (row) => range(row.efficiencyInterval, (value) => value.toFixed(2))],
  ['File (MB)', (row) => megabytes(row.fileBytes)],
  ['Memory (MB)', (row) => megabytes(row.peakBytes)],
];

const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '' : (bytes / 1e6).toFixed(1));

function describeBatch({ batch, rows, warmUp }: BatchTiming): string {
  const rules = [...new Set(rows.map(({ rule }) => rule))].join('; ');
  const count = (name: 'images' | 'nearThreshold' | 'differing'): number =>
    rows.reduce((sum, { agreement }) => sum + agreement[name], 0);
  const rate = (values: readonly number[]): string =>
    [...new Set([Math.min(...values), Math.max(...values)].map((value) => counted(Math.round(value))))].join(' to ');
  return [
    `Batch ${String(batch).padEnd(6)}${rules} a row and process, after ${warmUp.runs} warm-up runs; ${rate(rows.map((row) => row.originalImagesPerSecond))} images/s, gated ${rate(rows.map((row) => row.gatedImagesPerSecond))}`,
    `            class and exit as in the cached evaluation: all but ${count('differing')} of ` +
      `${counted(count('images'))} timed images, and ${count('nearThreshold')} within 1e-4 of a threshold`,
  ].join('\n');
}

function describeVerified({ verified }: TimingRecord): string[] {
  if (verified === null) return [];
  const total = (name: keyof Agreement): string => counted(verified.reduce((sum, row) => sum + row[name], 0));
  return [
    `Verified    class and exit as in the cached evaluation: all but ${total('differing')} of ${total('images')}, ` +
      `${verified.length} rows of all test images, and ${total('nearThreshold')} within 1e-4 of a threshold`,
  ];
}

/** Warnings about the times: one line per batch size or row. */
export function timingWarnings({ batches }: TimingRecord): string[] {
  return batches.flatMap(({ batch, rows, warnings: all }) => [
    ...(all.length > 0 ? [`batch ${batch}: ${all.join('; ')}`] : []),
    ...rows.flatMap(({ model, warnings: ofRow }) =>
      ofRow.length > 0 ? [`batch ${batch}, ${model}: ${ofRow.join('; ')}`] : [],
    ),
  ]);
}

/** `timing.csv`: one line per batch size and row, plain numbers, units in the column names. */
export function timingCsv({ batches, engine, date }: TimingRecord): string {
  const lines = batches.flatMap((size) => size.rows.map((row) => ({ size, row })));
  type LineColumn = Column<(typeof lines)[number], string | number | null | undefined>;
  const times = ['mean', 'median', 'p90', 'least'] as const;
  const exits = batches[0]?.rows[0]?.exits ?? [];
  const { columns, rows } = tabulate(lines, [
    ['batch_images', ({ size }) => size.batch],
    ['model', ({ row }) => row.model],
    ['repeats', ({ row }) => row.speedUps.length],
    ['pairs', ({ row }) => row.pairs],
    ...times.map((name): LineColumn => [`original_${name}_ms`, ({ row }) => row.originalMs[name]]),
    ...times.map((name): LineColumn => [`gated_${name}_ms`, ({ row }) => row.gatedMs[name]]),
    ['original_images_per_second', ({ row }) => row.originalImagesPerSecond],
    ['gated_images_per_second', ({ row }) => row.gatedImagesPerSecond],
    ['speed_up_fraction', ({ row }) => row.speedUp],
    ['speed_up_low_fraction', ({ row }) => row.speedUpInterval.low],
    ['speed_up_high_fraction', ({ row }) => row.speedUpInterval.high],
    ['flops_reduction_fraction', ({ row }) => row.flopsReduction],
    ['efficiency_fraction', ({ row }) => row.efficiency],
    ['efficiency_low_fraction', ({ row }) => row.efficiencyInterval?.low],
    ['efficiency_high_fraction', ({ row }) => row.efficiencyInterval?.high],
    ...exits.map((_, exit): LineColumn => [`exit${exit + 1}_images`, ({ row }) => row.exits[exit]]),
    ['compared_images', ({ row }) => row.agreement.images],
    ['near_threshold_images', ({ row }) => row.agreement.nearThreshold],
    ['differing_images', ({ row }) => row.agreement.differing],
    ['engine', () => engine.id],
    ['date', () => date],
    ['warnings', ({ size, row }) => [...size.warnings, ...row.warnings].join('; ')],
    ['file_bytes', ({ row }) => row.fileBytes],
    ['peak_memory_bytes', ({ row }) => row.peakBytes],
  ]);
  return csvOf([columns, ...rows]);
}
