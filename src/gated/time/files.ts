import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { csvOf } from '../../csv.js';
import { engineNamed } from '../../engines/registry.js';
import type { PresetName } from '../../experiment/rules.js';
import { renderTiming, timingCsv } from '../../report/table.js';
import type { RunBasis } from '../../run/context.js';
import { runFolder, systemIdentity } from '../../run/record.js';
import { speedSource } from '../../run/rows.js';
import type { AnalysisContext, RunOutcome } from '../../run/stages.js';
import { withTiming } from '../../run/systems.js';
import { codeOf } from '../../store/code.js';
import { canonicalJson, namesIn, readSealed, writeFileAtomic, writeSealed } from '../../store/files.js';
import type { PairTimes } from '../../timing/estimate.js';
import type { Clock, RuleName } from '../../timing/pairs.js';
import {
  describeMachine,
  isSameMachine,
  type MachineDescription,
  RECORD_VERSION,
  type RowTiming,
  type TimingRecord,
} from '../../timing/record.js';

export interface TimingOptions {
  readonly preset: PresetName;
  /** Batch sizes; 1 is the latency of the paper's tables. */
  readonly batches: readonly number[];
  /** Times the first test images, each once; absent: as many as the rules ask for. */
  readonly images?: number | undefined;
  readonly rules: RuleName;
  /** Leaves out the systems that tables compare with the rows. */
  readonly rowsOnly?: boolean;
  /** First compares all test images with the cached evaluation. */
  readonly verify?: boolean;
  readonly clock?: Clock;
  /** Rest before each turn. */
  readonly rest?: () => Promise<void>;
  /** Number of processes; 1 by default. */
  readonly repeats?: number;
  /** Which of them this is, from 1. */
  readonly repeat?: number;
  readonly resume?: ResumableRows;
}

export interface TimedRow {
  readonly timing: RowTiming;
  readonly pairs: readonly RawPair[];
}

/** Keeps rows as they come, for a process that may be interrupted. */
export interface ResumableRows {
  /** @returns the row of an interrupted timing, if nothing that it depends on has changed */
  find(batch: number, index: number, thresholds: RowTiming['thresholds']): Promise<TimedRow | undefined>;
  keep(batch: number, index: number, row: TimedRow): Promise<void>;
}

export interface TimingOutcome {
  readonly record: TimingRecord;
  readonly pairs: readonly RawPair[];
}

export interface RawPair extends PairTimes {
  /** Process that measured it, counted from 1. */
  readonly repeat: number;
  readonly batch: number;
  /** Row of the table, counted from 1. */
  readonly row: number;
  readonly index: number;
  /** Position of the batch's first image in the test set. */
  readonly image: number;
  readonly first: 'original' | 'gated';
  /** Images of the batch by exit, the original classifier last. */
  readonly exits: readonly number[];
}

const FILE = 'timing.json';

/** The files that a timing writes to the folder of its run. */
export const timingFiles = ['timing.txt', 'timing.csv', 'timing-pairs.csv', FILE];

/** Writes the pairs, the rows, the table, and the record; `findTiming` reads the record. */
export async function writeTiming({ record, pairs }: TimingOutcome, folder: string): Promise<void> {
  await writeFileAtomic(join(folder, 'timing-pairs.csv'), pairLines(pairs));
  await writeFileAtomic(join(folder, 'timing.csv'), timingCsv(record));
  await writeFileAtomic(join(folder, 'timing.txt'), `${renderTiming(record)}\n`);
  await writeSealed(join(folder, FILE), record);
}

/** The raw times as CSV, some thousand lines at a time. */
function* pairLines(pairs: readonly RawPair[]): Generator<string> {
  const exits = (pairs[0]?.exits ?? []).map((_, exit) => `exit${exit + 1}_images`);
  const columns = ['repeat', 'batch_images', 'row', 'pair', 'image', 'turn', 'first', 'original_ms', 'gated_ms'];
  yield csvOf([[...columns, ...exits]]);
  for (let start = 0; start < pairs.length; start += 4096) {
    const lines = pairs.slice(start, start + 4096).map((pair) => {
      const { repeat, batch, row, index, image, turn, first, originalMs, gatedMs } = pair;
      const times = [originalMs.toFixed(6), gatedMs.toFixed(6)];
      return [repeat, batch, row, index, image, turn, first, ...times, ...pair.exits];
    });
    yield csvOf(lines);
  }
}

/**
 * The last timing in a run's folder, or why it cannot be used. The folder's name covers all settings; the machine and the
 * code are compared.
 *
 * @returns undefined if nothing was ever timed
 */
export async function findTiming(
  folder: string,
  machine: MachineDescription,
  code: string,
): Promise<{ readonly record: TimingRecord } | { readonly why: string } | undefined> {
  const path = join(folder, FILE);
  const stored = await readSealed(path);
  if (stored === undefined || 'why' in stored) return stored;
  const { found } = stored;
  if ((found as Partial<TimingRecord> | null)?.version !== RECORD_VERSION) {
    return { why: `${path}: written by another version of dgate` };
  }
  const record = found as TimingRecord;
  if (record.code !== code) return { why: `${path}: measured with other code; dgate time measures again` };
  if (!isSameMachine(record.machine, machine)) {
    return { why: `${path}: measured on another machine (${record.machine.processor}, ${record.machine.cores} cores)` };
  }
  return { record };
}

/** Identity of the timed code. @param engine id of the engine that runs the networks */
export function timedCode(engine: string): string {
  return codeOf('gated/time/time', 'gated/open', 'run/run', engineNamed(engine).module);
}

/** The outcome with the speeds of its last timing on this machine, if any; notes which, or why none. */
export async function withLastTiming(
  context: AnalysisContext,
  outcome: RunOutcome,
  preset: PresetName,
): Promise<RunOutcome> {
  const folder = runFolder(outcome, preset, context.resultsRoot);
  const found = await findTiming(folder, await describeMachine(), timedCode(outcome.engine.entry.id));
  if (found === undefined) return outcome;
  if ('why' in found) {
    context.progress.note(`speed: left empty: ${found.why}`);
    return outcome;
  }
  context.progress.note(`speed: ${speedSource(found.record) ?? 'left empty: not timed at batch 1'}`);
  return withTiming(outcome, found.record);
}

/** Times of the exits, one image at a time, by the last timing of this system on this machine, whatever its thresholds. */
export async function lastExitTimes(basis: RunBasis, resultsRoot: string): Promise<readonly number[] | undefined> {
  const root = join(resultsRoot, basis.experiment.name);
  const [names, machine, code] = [await namesIn(root), await describeMachine(), timedCode(basis.engine.entry.id)];
  const found = await Promise.all(names.map((name) => findTiming(join(root, name), machine, code)));
  const system = systemIdentity(basis);
  const records = found.flatMap((one) => (one && 'record' in one && one.record.system === system ? [one.record] : []));
  const last = records.sort((a, b) => a.date.localeCompare(b.date)).at(-1);
  return last?.batches.find(({ batch }) => batch === 1)?.exitMs;
}

const FOLDER = 'timing-partial';

/** One repeat of a timing, kept until all are there. */
interface ResumableRepeat extends ResumableRows {
  /** The whole repeat, if it has ended with these batch sizes. */
  finished(batches: readonly number[]): Promise<TimingOutcome | undefined>;
  finish(outcome: TimingOutcome): Promise<void>;
}

/** Removes the files of `resumableRows`. */
export const clearPartial = (folder: string): Promise<void> =>
  rm(join(folder, FOLDER), { recursive: true, force: true });

/**
 * Keeps the rows of a repeat, then the whole repeat, each in a file in `timing-partial/` of the run's folder.
 *
 * @param key all that the times depend on beyond the run's folder; rows with another key are not reused
 * @param repeat from 1
 */
export function resumableRows(folder: string, key: unknown, note: (line: string) => void, repeat = 1): ResumableRepeat {
  const wanted = canonicalJson(key);
  const named = (name: string): string => join(folder, FOLDER, `repeat${repeat}${name}.json`);
  const fileOf = (batch: number, index: number): string => named(`-batch${batch}-row${index + 1}`);
  /** What is kept under the same key, which names the code that wrote it; otherwise why not. */
  const read = async <T>(path: string): Promise<T | { readonly why: string } | undefined> => {
    const stored = await readSealed(path);
    if (stored === undefined || 'why' in stored) return stored;
    if (canonicalJson((stored.found as { key?: unknown } | null)?.key ?? null) === wanted) return stored.found as T;
    return { why: `${path}: measured with other options, versions or on another machine` };
  };
  return {
    async finished(batches) {
      const found = await read<TimingOutcome & { readonly batches: readonly number[] }>(named(''));
      return found !== undefined && !('why' in found) && String(found.batches) === String(batches) ? found : undefined;
    },
    finish: ({ record, pairs }) =>
      writeSealed(named(''), { key, batches: record.batches.map(({ batch }) => batch), record, pairs }),
    async find(batch, index, thresholds): Promise<TimedRow | undefined> {
      const found = await read<TimedRow>(fileOf(batch, index));
      if (found === undefined) return undefined;
      if ('why' in found) {
        note(`${found.why}; timed again`);
        return undefined;
      }
      if (JSON.stringify(found.timing.thresholds) !== JSON.stringify(thresholds)) return undefined;
      note(`batch ${batch}, ${found.timing.model}: timed before the interruption, ${found.timing.date}`);
      return found;
    },
    keep: (batch, index, row) => writeSealed(fileOf(batch, index), { key, ...row }),
  };
}
