import { csvOf } from '../csv.js';
import { visible } from '../escape.js';
import type { Interval } from '../statistics/interval.js';
import type { Agreement, BatchTiming, RowTiming, TimingRecord } from '../timing/record.js';
import { renderColumns } from './columns.js';

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
const milliseconds = (ms: number): string => ms.toPrecision(4);

const range = (interval: Interval | null, show: (value: number) => string): string =>
  interval === null ? '' : `${show(interval.low)} to ${show(interval.high)}`;

/** The console report of `dgate time`: a table, the machine, and reasons not to trust the times. */
export function renderTiming(record: TimingRecord): string {
  const { engine, machine } = record;
  const clock =
    machine.clockMhz === null ? 'unknown' : `${[...new Set(machine.clockMhz.map(Math.round))].join(' to ')} MHz`;
  const versions = Object.entries({ dgate: record.dgate, node: machine.node, ...engine.versions });
  return [
    visible(`Timed evaluation of ${record.experiment}, preset ${record.preset}: ${record.network}`),
    renderColumns(
      head,
      record.batches.flatMap((size) => size.rows.map((row) => cells(size, row))),
    ),
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

const head = [
  'Model',
  'Batch',
  't0 (ms)',
  't (ms)',
  't0 p90',
  't p90',
  'Speed-up',
  '95 %',
  'FLOPs Reduction',
  'Efficiency',
  '95 %',
];

function cells({ batch }: BatchTiming, row: RowTiming): string[] {
  return [
    row.model,
    String(batch),
    milliseconds(row.originalMs.mean),
    milliseconds(row.gatedMs.mean),
    milliseconds(row.originalMs.p90),
    milliseconds(row.gatedMs.p90),
    percent(row.speedUp),
    range(row.speedUpInterval, percent),
    percent(row.flopsReduction),
    row.efficiency?.toFixed(2) ?? '',
    range(row.efficiencyInterval, (value) => value.toFixed(2)),
  ];
}

function describeBatch({ batch, rows, warmUp }: BatchTiming): string {
  const rules = [...new Set(rows.map(({ rule }) => rule))].join('; ');
  const count = (name: 'images' | 'nearThreshold' | 'differing'): number =>
    rows.reduce((sum, { agreement }) => sum + agreement[name], 0);
  const rates = rows.map((row) => row.gatedImagesPerSecond);
  const originals = rows.map((row) => row.originalImagesPerSecond);
  const rate = (values: readonly number[]): string =>
    [
      ...new Set([Math.min(...values), Math.max(...values)].map((value) => Math.round(value).toLocaleString('en'))),
    ].join(' to ');
  return [
    `Batch ${String(batch).padEnd(6)}${rules} a row and process, after ${warmUp.runs} warm-up runs; ${rate(originals)} images/s, gated ${rate(rates)}`,
    `            class and exit as in the cached evaluation: all but ${count('differing')} of ` +
      `${count('images').toLocaleString('en')} timed images, and ${count('nearThreshold')} within 1e-4 of a threshold`,
  ].join('\n');
}

function describeVerified({ verified }: TimingRecord): string[] {
  if (verified === null) return [];
  const total = (name: keyof Agreement): string =>
    verified.reduce((sum, row) => sum + row[name], 0).toLocaleString('en');
  return [
    `Verified    class and exit as in the cached evaluation: all but ${total('differing')} of ${total('images')}, ` +
      `${verified.length} rows of all test images, and ${total('nearThreshold')} within 1e-4 of a threshold`,
  ];
}

/** Reasons not to trust the times, one line for each batch size and row that has some. */
export function timingWarnings({ batches }: TimingRecord): string[] {
  return batches.flatMap(({ batch, rows, warnings: all }) => [
    ...(all.length > 0 ? [`batch ${batch}: ${all.join('; ')}`] : []),
    ...rows.flatMap(({ model, warnings: ofRow }) =>
      ofRow.length > 0 ? [`batch ${batch}, ${model}: ${ofRow.join('; ')}`] : [],
    ),
  ]);
}

/** `timing.csv`: a line for each batch size and row, plain numbers, units in the column names. */
export function timingCsv({ batches, engine, date }: TimingRecord): string {
  const ways = batches[0]?.rows[0]?.exits.length ?? 0;
  const times = ['mean', 'median', 'p90', 'least'] as const;
  const columns = [
    'batch_images',
    'model',
    'repeats',
    'pairs',
    ...times.map((name) => `original_${name}_ms`),
    ...times.map((name) => `gated_${name}_ms`),
    'original_images_per_second',
    'gated_images_per_second',
    'speed_up_fraction',
    'speed_up_low_fraction',
    'speed_up_high_fraction',
    'speed_up_of_repeats_fraction',
    'flops_reduction_fraction',
    'efficiency_fraction',
    'efficiency_low_fraction',
    'efficiency_high_fraction',
    ...Array.from({ length: ways }, (_, exit) => `exit${exit + 1}_images`),
    'compared_images',
    'near_threshold_images',
    'differing_images',
    'engine',
    'date',
    'warnings',
  ];
  const lines = batches.flatMap(({ batch, rows, warnings: all }) =>
    rows.map((row) => [
      batch,
      row.model,
      row.speedUps.length,
      row.pairs,
      ...times.map((name) => row.originalMs[name]),
      ...times.map((name) => row.gatedMs[name]),
      row.originalImagesPerSecond,
      row.gatedImagesPerSecond,
      row.speedUp,
      row.speedUpInterval.low,
      row.speedUpInterval.high,
      row.speedUps.join(' '),
      row.flopsReduction,
      row.efficiency,
      row.efficiencyInterval?.low,
      row.efficiencyInterval?.high,
      ...row.exits,
      row.agreement.images,
      row.agreement.nearThreshold,
      row.agreement.differing,
      engine.id,
      date,
      [...all, ...row.warnings].join('; '),
    ]),
  );
  return csvOf([columns, ...lines]);
}
