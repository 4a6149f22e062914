import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';
import { type Interval, mean, studentQuantile, variance } from '../statistics/intervals.js';
import {
  type Estimate,
  estimateOf,
  type PairTimes,
  type Surroundings,
  speedUpOf,
  summarisePairs,
  type TimeSummary,
  widthWarnings,
} from './estimate.js';
import type { RuleName } from './pairs.js';

/** Files of other versions are not read. */
export const RECORD_VERSION = 4;

/** The results of `dgate time`: `timing.json`. Times are milliseconds per run; a run is a batch of images. */
export interface TimingRecord {
  readonly version: typeof RECORD_VERSION;
  readonly experiment: string;
  readonly preset: string;
  readonly date: string;
  readonly dgate: string;
  /** Identity of the code that was timed, see `codeOf`. */
  readonly code: string;
  readonly engine: EngineDescription;
  readonly machine: MachineDescription;
  readonly rules: RuleName;
  /** Processes that timed every row. */
  readonly repeats: number;
  /** Identity of what was timed, whatever its thresholds (`systemIdentity`). */
  readonly system?: string;
  readonly network: string;
  readonly checkpointSha256: string;
  readonly batches: readonly BatchTiming[];
  /** Agreement on all test images, row by row, if requested. */
  readonly verified: readonly Agreement[] | null;
}

/** Every row of the table at one batch size. */
export interface BatchTiming {
  readonly batch: number;
  readonly warmUp: { readonly runs: number; readonly ms: number; readonly stable: boolean };
  readonly rows: readonly RowTiming[];
  /** Milliseconds of a run whose images all leave at each exit, the last included: medians, the mean of all processes. */
  readonly exitMs?: readonly number[];
  /** Reasons not to trust any row of this batch size. */
  readonly warnings: readonly string[];
  readonly surroundings: Surroundings;
}

/** One row of the table compared with the original network. */
export interface RowTiming extends Estimate {
  /** Time of its last pair. */
  readonly date: string;
  /** The row's name in the table, or the name of a `SystemRun`. */
  readonly model: string;
  /** Size of the ONNX file that `dgate export` writes of it. */
  readonly fileBytes?: number;
  /** What running that file at this batch size adds to the peak memory of a process. */
  readonly peakBytes?: number;
  /** Thresholds of each part, as in the table; null for a closed gate. */
  readonly thresholds: readonly (readonly (number | null)[])[];
  /** Speed-up of each process; the interval contains their variation. */
  readonly speedUps: readonly number[];
  /** Number of pairs in a process and the reason for it. */
  readonly rule: string;
  /** Batches that each network ran consecutively. */
  readonly batchesPerTurn: number;
  /** Of all processes. */
  readonly pairs: number;
  /** Timed images, repetitions included. */
  readonly images: number;
  /** The original network, one value for each pair. */
  readonly originalMs: TimeSummary;
  readonly gatedMs: TimeSummary;
  readonly originalImagesPerSecond: number;
  readonly gatedImagesPerSecond: number;
  /** Timed images by exit, the original classifier last. */
  readonly exits: readonly number[];
  readonly agreement: Agreement;
  readonly warnings: readonly string[];
}

/** Agreement of class and exit with the cached evaluation. */
export interface Agreement {
  readonly images: number;
  /** Class or exit differs, and a confidence lies within 1e-4 of its threshold. */
  readonly nearThreshold: number;
  /** Class or exit differs for another reason. */
  readonly differing: number;
}

/** A row as one process timed it. */
export interface RepeatedRow {
  readonly timing: RowTiming;
  readonly pairs: readonly PairTimes[];
}

/**
 * Speed-up and efficiency over several processes. The interval adds in quadrature the mean of the processes' own intervals
 * and the variation between processes by Student's t (where their memory lies, the pace of the machine).
 *
 * @param runs one for each process; a single one keeps its interval, without variation between processes
 */
export function poolEstimates(
  runs: readonly { readonly estimate: Estimate; readonly pairs: readonly PairTimes[] }[],
): Estimate {
  const estimates = runs.map(({ estimate }) => estimate);
  const share = 1 - estimates[0]!.flopsReduction;
  const [speedUp, interval] = [
    speedUpOf(
      runs.flatMap(({ pairs }) => pairs),
      share,
    ),
    estimates[0]!.speedUpInterval,
  ];
  return estimateOf(speedUp, runs.length === 1 ? interval : pooledInterval(speedUp, estimates), share);
}

function pooledInterval(middle: number, estimates: readonly Estimate[]): Interval {
  const values = estimates.map(({ speedUp }) => speedUp);
  const between = studentQuantile(values.length - 1, 0.95) * Math.sqrt(variance(values) / values.length);
  const below = mean(estimates.map(({ speedUp, speedUpInterval: { low } }) => speedUp - low));
  const above = mean(estimates.map(({ speedUp, speedUpInterval: { high } }) => high - speedUp));
  return { low: middle - Math.hypot(between, below), high: middle + Math.hypot(between, above) };
}

/** A row over all processes. */
export function poolRows(runs: readonly RepeatedRow[]): RowTiming {
  const rows = runs.map(({ timing }) => timing);
  const pairs = runs.flatMap((run) => run.pairs);
  const estimate = poolEstimates(runs.map((run) => ({ estimate: run.timing, pairs: run.pairs })));
  const last = rows.at(-1)!;
  const worst = (of: (agreement: Agreement) => number): number => Math.max(...rows.map((row) => of(row.agreement)));
  return {
    ...last,
    ...estimate,
    speedUps: rows.map(({ speedUp }) => speedUp),
    ...summarisePairs(pairs, last.images / last.pairs),
    exits: last.exits.map((_, exit) => rows.reduce((sum, { exits }) => sum + exits[exit]!, 0)),
    agreement: {
      images: worst(({ images }) => images),
      nearThreshold: worst(({ nearThreshold }) => nearThreshold),
      differing: worst(({ differing }) => differing),
    },
    warnings: [...widthWarnings(estimate), ...ofRepeats(rows.map(({ warnings }) => warnings))],
  };
}

/** The record over all processes, with the busiest surroundings of any. @param pairsOf pairs of a process's row */
export function poolRecords(
  records: readonly TimingRecord[],
  pairsOf: (repeat: number, batch: number, row: number) => readonly PairTimes[],
): TimingRecord {
  const last = records.at(-1)!;
  const batches = last.batches.map(({ batch, rows }, at): BatchTiming => {
    const all = records.map((record) => record.batches[at]!);
    const busiest = all.reduce((a, b) => (b.surroundings.loadAfter > a.surroundings.loadAfter ? b : a));
    const exitMs = all[0]!.exitMs?.map((_, exit) => mean(all.map((one) => one.exitMs?.[exit] ?? Number.NaN)));
    return {
      batch,
      ...(exitMs && { exitMs }),
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

/** The warnings of all processes, numbered if there are several. */
const ofRepeats = (all: readonly (readonly string[])[]): string[] =>
  all.flatMap((warnings, i) => warnings.map((text) => (all.length === 1 ? text : `repeat ${i + 1}: ${text}`)));

/** An engine in a run record. */
export interface EngineDescription {
  readonly id: string;
  readonly device: string;
  /** Most CPU threads that it uses. */
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** The machine of a timing; null for what cannot be read. */
export interface MachineDescription {
  readonly system: string;
  readonly node: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Lowest and highest clock of the cores at present. */
  readonly clockMhz: readonly [number, number] | null;
  /** Linux: the frequency governor (`performance`, `powersave`, ...). */
  readonly governor: string | null;
  /** NVIDIA GPUs: name, driver, current and highest clock of the multiprocessors, power limit. */
  readonly gpus: readonly string[];
}

/** The properties of a machine that every run records. */
export function machineNote() {
  const processor = cpus()[0]?.model.trim() ?? 'unknown';
  return { system: `${type()} ${release()}`, processor, cores: availableParallelism(), memoryBytes: totalmem() };
}

export async function describeMachine(): Promise<MachineDescription> {
  const clocks = cpus().map(({ speed }) => speed);
  const known = clocks.some((speed) => speed > 0);
  return {
    ...machineNote(),
    node: process.versions.node,
    clockMhz: known ? [Math.min(...clocks), Math.max(...clocks)] : null,
    governor: await governor(),
    gpus: await nvidiaGpus('name,driver_version,clocks.sm,clocks.max.sm,power.limit'),
  };
}

async function governor(): Promise<string | null> {
  const path = '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor';
  const text = await readFile(path, 'utf8').catch(() => null); // not on virtual machines, not outside Linux
  return text?.trim() ?? null;
}

/** These properties of each NVIDIA GPU, by the names of nvidia-smi; none without a driver. */
export async function nvidiaGpus(query: string): Promise<string[]> {
  const args = [`--query-gpu=${query}`, '--format=csv,noheader'];
  const asked = await promisify(execFile)('nvidia-smi', args, { timeout: 20_000 }).catch(() => undefined);
  return asked?.stdout.trim().split('\n').filter(Boolean) ?? [];
}

/** The properties of a machine that stay from run to run. */
export function lastingPart({ system, node, processor, cores, gpus }: MachineDescription) {
  return { system, node, processor, cores, gpus: gpus.map((gpu) => gpu.split(', ').slice(0, 2)) };
}

/** Whether two descriptions agree in the lasting properties. */
export function isSameMachine(a: MachineDescription, b: MachineDescription): boolean {
  return JSON.stringify(lastingPart(a)) === JSON.stringify(lastingPart(b));
}

/** Starts to measure the machine's load. @returns a function that ends it */
export function watchSurroundings(): () => Surroundings {
  const loadBefore = loadavg()[0]!;
  const before = spent();
  return () => {
    const after = spent();
    const all = after.busyMs + after.idleMs - before.busyMs - before.idleMs;
    const others = after.busyMs - before.busyMs - (after.ownMs - before.ownMs);
    const isWhole = cpus().length === availableParallelism() && all > 0;
    return {
      cores: availableParallelism(),
      loadBefore,
      loadAfter: loadavg()[0]!,
      othersShare: isWhole ? Math.max(0, others / all) : null,
    };
  };
}

function spent(): { busyMs: number; idleMs: number; ownMs: number } {
  const times = cpus().map((cpu) => cpu.times);
  const { user, system } = process.cpuUsage();
  return {
    busyMs: times.reduce((sum, time) => sum + time.user + time.nice + time.sys + time.irq, 0),
    idleMs: times.reduce((sum, time) => sum + time.idle, 0),
    ownMs: (user + system) / 1000,
  };
}
