import { InputError } from '../../errors.js';
import type { PresetName } from '../../experiment/rules.js';
import type { AnalysisContext } from '../../run/analyses.js';
import { runFolder } from '../../run/identity.js';
import type { RunOutcome } from '../../run/outcome.js';
import { speedSource } from '../../run/speeds.js';
import { describeMachine, lastingPart, poolRecords, RECORD_VERSION } from '../../timing/record.js';

import { openGated } from '../open.js';
import {
  clearPartial,
  findTiming,
  type RawPair,
  resumableRows,
  type TimingOptions,
  type TimingOutcome,
  timedCode,
  writeTiming,
} from './files.js';
import { checkImages, timeGated } from './time.js';

/** Times a repeat in a process of its own, which keeps it in the run's folder. @param repeat from 1 */
export type FreshRepeat = (repeat: number) => Promise<void>;

/**
 * Times the rows of a finished run in several processes, one after the other, and leaves the times in its folder. Each
 * row and repeat is kept as it comes: an interrupted timing goes on after the last one.
 *
 * @param fresh absent: a single repeat, in this process
 * @returns the outcome with its speeds
 * @throws InputError where it has no rows, or fewer images than a batch
 */
export async function timeRun(
  context: AnalysisContext,
  outcome: RunOutcome,
  options: TimingOptions,
  fresh?: FreshRepeat,
): Promise<RunOutcome> {
  const { repeats = 1, batches } = options;
  const opened = await openTiming(context, outcome, options);
  checkImages(opened.gated, options);
  const found: TimingOutcome[] = [];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    const kept = await opened.repeat(repeat).finished(batches);
    if (kept !== undefined)
      context.progress.note(`repeat ${repeat}: timed before the interruption, ${kept.record.date}`);
    else await (fresh?.(repeat) ?? timeRepeat(context, outcome, { ...options, repeat }));
    const timed = kept ?? (await opened.repeat(repeat).finished(batches));
    if (timed === undefined) throw new Error(`${outcome.experiment.name}: repeat ${repeat} left no times`);
    found.push(timed);
  }
  const pairsOf = (repeat: number, batch: number, row: number): RawPair[] =>
    found[repeat]!.pairs.filter((pair) => pair.batch === batch && pair.row === row + 1);
  const record = poolRecords(
    found.map((timed) => timed.record),
    pairsOf,
  );
  await writeTiming({ record, pairs: found.flatMap(({ pairs }) => pairs) }, opened.folder);
  await clearPartial(opened.folder);
  return { ...outcome, timing: record };
}

/** One repeat of a timing, in this process; it is kept in the run's folder, with the rows of an interrupted one. */
export async function timeRepeat(context: AnalysisContext, outcome: RunOutcome, options: TimingOptions): Promise<void> {
  const { gated, engine, repeat } = await openTiming(context, outcome, options);
  const resume = repeat(options.repeat ?? 1);
  const verify = options.verify === true && (options.repeat ?? 1) === 1; // the answers are the same in every process
  await resume.finish(await timeGated(context, gated, engine, { ...options, verify, resume }));
}

/** What all repeats of a timing share. */
async function openTiming(context: AnalysisContext, outcome: RunOutcome, options: TimingOptions) {
  const { experiment, rows, engine } = outcome;
  if (rows.length === 0) {
    throw new InputError(`${experiment.name}: no rows to time; valid: an experiment with thresholds.margins or fixed`);
  }
  // What the run has just said of the cache need not be said again.
  const gated = await openGated({ ...context, progress: { ...context.progress, note() {} } }, experiment);
  const folder = runFolder(outcome, options.preset, context.resultsRoot);
  const opening = await engine.get();
  const key = {
    record: RECORD_VERSION,
    code: timedCode(engine.entry.id),
    engine: opening.describe(),
    machine: lastingPart(await describeMachine()),
    checkpoint: gated.source.checkpoint.sha256,
    rules: options.rules,
    images: options.images ?? null,
    verify: options.verify ?? false,
  };
  const repeat = (number: number) => resumableRows(folder, key, context.progress.note, number);
  return { gated, folder, engine: opening, repeat };
}

/** The outcome with the speeds of its last timed evaluation, where this machine has made one; says so, or why not. */
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
  return { ...outcome, timing: found.record };
}
