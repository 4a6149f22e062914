import { InputError } from '../../errors.js';
import type { PresetName } from '../../experiment/presets.js';
import type { AnalysisContext } from '../../run/analyses.js';
import { runFolder } from '../../run/identity.js';
import type { RunOutcome } from '../../run/outcome.js';
import { speedSource } from '../../run/speeds.js';
import { describeMachine, lastingPart } from '../../timing/machine.js';
import { RECORD_VERSION } from '../../timing/record.js';
import { openGated } from '../open.js';
import { findTiming, timedCode, writeTiming } from './files.js';
import type { TimingOptions } from './outcome.js';
import { resumableRows } from './resume.js';
import { timeGated } from './time.js';

/**
 * Times the rows of a finished run and leaves the times in its folder. Each row is kept as it comes: an interrupted
 * timing goes on after the last one.
 *
 * @returns the outcome with its speeds
 * @throws InputError where it has no rows, or fewer images than a batch
 */
export async function timeRun(
  context: AnalysisContext,
  outcome: RunOutcome,
  options: TimingOptions,
): Promise<RunOutcome> {
  const { experiment, rows, engine } = outcome;
  if (rows.length === 0) {
    throw new InputError(`${experiment.name}: no rows to time; valid: an experiment with thresholds.margins or fixed`);
  }
  // What the run has just said of the cache need not be said again.
  const opened = await openGated({ ...context, progress: { ...context.progress, note() {} } }, experiment);
  const folder = runFolder(outcome, options.preset, context.resultsRoot);
  const opening = await engine.get();
  const key = {
    record: RECORD_VERSION,
    code: timedCode(engine.entry.id),
    engine: opening.describe(),
    machine: lastingPart(await describeMachine()),
    checkpoint: opened.source.checkpoint.sha256,
    rules: options.rules,
    images: options.images ?? null,
  };
  const resume = resumableRows(folder, key, context.progress.note);
  const timing = await timeGated(context, opened, opening, { ...options, resume });
  await writeTiming(timing, folder);
  await resume.clear();
  return { ...outcome, timing: timing.record };
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
