import type { TableRow } from '../report/rows.js';
import { mean } from '../statistics/samples.js';
import type { RowTiming, TimingRecord } from '../timing/record.js';

/** The columns of a table row that a timing fills; null where it was not timed. */
export type Speed = Pick<TableRow, 'speedMs' | 'speedUp' | 'efficiency'>;

const none: Speed = { speedMs: null, speedUp: null, efficiency: null };

/** The rows of the latency measurement, which is the paper's: one image at a time. */
function latencies(timing: TimingRecord | undefined): readonly RowTiming[] {
  return timing?.batches.find(({ batch }) => batch === 1)?.rows ?? [];
}

/**
 * Speed of the row with these thresholds: exactly these, so that times of other gates are never shown. The milliseconds
 * are at the original's time of the whole column, so that they can be compared with it and with each other: the pace of
 * a machine changes from row to row, and only t/t0 is of the same pairs.
 */
export function speedOf(timing: TimingRecord | undefined, thresholds: TableRow['thresholds']): Speed {
  const wanted = JSON.stringify(thresholds);
  const row = latencies(timing).find((candidate) => JSON.stringify(candidate.thresholds) === wanted);
  if (row === undefined) return none;
  const speedMs = originalSpeed(timing).speedMs! * (1 - row.speedUp);
  return { speedMs, speedUp: row.speedUp, efficiency: row.efficiency };
}

/** Speed of the original network: the mean over its pairs with all rows. */
export function originalSpeed(timing: TimingRecord | undefined): Speed {
  const rows = latencies(timing);
  return rows.length === 0 ? none : { ...none, speedMs: mean(rows.map(({ originalMs }) => originalMs.mean)) };
}

/** Where the speeds of a table come from, in a line; undefined where it has none. */
export function speedSource(timing: TimingRecord | undefined): string | undefined {
  if (timing === undefined || latencies(timing).length === 0) return undefined;
  const { engine, date, machine } = timing;
  const versions = Object.entries(engine.versions).map(([name, version]) => `${name} ${version}`);
  return (
    `one image at a time, ${engine.id} (${versions.join(', ')}), ${engine.device}, ${machine.cores} cores, ` +
    `${date.slice(0, 16).replace('T', ' ')} UTC; speed-ups against the original in the same pairs, Speed at the mean t0 of all rows (each row's own: timing.txt)`
  );
}
