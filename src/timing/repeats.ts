import type { Interval } from '../statistics/interval.js';
import { mean, variance } from '../statistics/moments.js';
import { studentQuantile } from '../statistics/student.js';
import { type Estimate, type PairTimes, totalsOf } from './estimate.js';
import { widthWarnings } from './noise.js';
import type { Agreement, BatchTiming, RowTiming, TimingRecord } from './record.js';
import { summarise } from './summary.js';

/** A row as one process timed it. */
export interface RepeatedRow {
  readonly timing: RowTiming;
  readonly pairs: readonly PairTimes[];
}

/**
 * Speed-up and efficiency over several processes. The interval has two parts, added in quadrature: the mean of the
 * processes' own intervals (timed images, noise within a process), and the variation between processes with Student's t
 * (what a process has throughout: where its memory lies, the pace of the machine).
 *
 * @param runs one for each process; a single one keeps its interval, which then lacks the variation between processes
 */
export function poolEstimates(runs: readonly { readonly estimate: Estimate; readonly pairs: readonly PairTimes[] }[]) {
  const estimates = runs.map(({ estimate }) => estimate);
  const { speedUp, speedUpInterval, flopsReduction, efficiency, efficiencyInterval } = estimates[0]!;
  if (runs.length === 1) return { speedUp, speedUpInterval, flopsReduction, efficiency, efficiencyInterval };
  const totals = totalsOf(runs.flatMap(({ pairs }) => pairs));
  const known = estimates.flatMap((one) =>
    one.efficiency === null || one.efficiencyInterval === null
      ? []
      : [[one.efficiency, one.efficiencyInterval] as const],
  );
  return {
    ...totals,
    speedUpInterval: pooledInterval(
      totals.speedUp,
      estimates.map((one) => [one.speedUp, one.speedUpInterval]),
    ),
    efficiencyInterval:
      totals.efficiency === null || known.length < runs.length ? null : pooledInterval(totals.efficiency, known),
  };
}

function pooledInterval(middle: number, found: readonly (readonly [value: number, interval: Interval])[]): Interval {
  const values = found.map(([value]) => value);
  const between = studentQuantile(found.length - 1, 0.95) * Math.sqrt(variance(values) / found.length);
  const below = mean(found.map(([value, { low }]) => value - low));
  const above = mean(found.map(([value, { high }]) => high - value));
  return { low: middle - Math.hypot(between, below), high: middle + Math.hypot(between, above) };
}

/** A row of all processes. */
export function poolRows(runs: readonly RepeatedRow[]): RowTiming {
  const rows = runs.map(({ timing }) => timing);
  const pairs = runs.flatMap((run) => run.pairs);
  const estimate = poolEstimates(runs.map((run) => ({ estimate: run.timing, pairs: run.pairs })));
  const [originalMs, gatedMs] = [
    summarise(pairs.map((pair) => pair.originalMs)),
    summarise(pairs.map((pair) => pair.gatedMs)),
  ];
  const last = rows.at(-1)!;
  const batch = last.images / last.pairs;
  const worst = (of: (agreement: Agreement) => number): number => Math.max(...rows.map((row) => of(row.agreement)));
  return {
    ...last,
    ...estimate,
    speedUps: rows.map(({ speedUp }) => speedUp),
    pairs: pairs.length,
    images: pairs.length * batch,
    originalMs,
    gatedMs,
    originalImagesPerSecond: (1000 * batch) / originalMs.mean,
    gatedImagesPerSecond: (1000 * batch) / gatedMs.mean,
    exits: last.exits.map((_, exit) => rows.reduce((sum, { exits }) => sum + exits[exit]!, 0)),
    agreement: {
      images: worst(({ images }) => images),
      nearThreshold: worst(({ nearThreshold }) => nearThreshold),
      differing: worst(({ differing }) => differing),
    },
    warnings: [...widthWarnings(estimate), ...ofRepeats(rows.map(({ warnings }) => warnings))],
  };
}

/**
 * The record of all processes: the worst of what each says of its surroundings.
 *
 * @param pairsOf pairs of a row of a process
 */
export function poolRecords(
  records: readonly TimingRecord[],
  pairsOf: (repeat: number, batch: number, row: number) => readonly PairTimes[],
): TimingRecord {
  const last = records.at(-1)!;
  const batches = last.batches.map(({ batch, rows }, at): BatchTiming => {
    const all = records.map((record) => record.batches[at]!);
    const busiest = all.reduce((a, b) => (b.surroundings.loadAfter > a.surroundings.loadAfter ? b : a));
    return {
      batch,
      warmUp: all.find(({ warmUp }) => !warmUp.stable)?.warmUp ?? all[0]!.warmUp,
      rows: rows.map((_, row) =>
        poolRows(all.map((of, repeat) => ({ timing: of.rows[row]!, pairs: pairsOf(repeat, batch, row) }))),
      ),
      warnings: ofRepeats(all.map(({ warnings }) => warnings)),
      surroundings: busiest.surroundings,
    };
  });
  const verified = records.find((record) => record.verified !== null)?.verified ?? null;
  return { ...last, repeats: records.length, batches, verified };
}

/** The warnings of each process, with its number where there are several. */
const ofRepeats = (all: readonly (readonly string[])[]): string[] =>
  all.flatMap((warnings, i) => warnings.map((text) => (all.length === 1 ? text : `repeat ${i + 1}: ${text}`)));
