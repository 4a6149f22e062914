import { type Column, csvOf, tabulate } from '../csv.js';
import { visible } from '../escape.js';
import { counted } from '../json.js';
import type { Interval } from '../statistics/samples.js';
import type { Agreement, BatchTiming, RowTiming, TimingRecord } from '../timing/record.js';
import { renderColumns } from './findings.js';

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
    '            with its 95 % interval; FLOPs reduction of the timed images; efficiency (1 - t/t0) / (1 - F/F0)',
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
];

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
  ]);
  return csvOf([columns, ...rows]);
}
