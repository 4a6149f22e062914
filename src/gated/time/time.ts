import type { Engine, GatedNetwork } from '../../engines/engine.js';
import { InputError } from '../../errors.js';
import type { ProgressTask } from '../../progress.js';
import { version } from '../../project.js';
import { BATCH_IMAGES } from '../../run/batches.js';
import type { RunContext } from '../../run/context.js';
import { eachInTurn } from '../../run/plan.js';
import { runFolder, systemIdentity } from '../../run/record.js';
import type { AnalysisContext, RunOutcome } from '../../run/stages.js';
import { runsBeside, withTiming } from '../../run/systems.js';
import { median } from '../../statistics/intervals.js';
import { surroundingsWarnings } from '../../timing/estimate.js';
import { monotonicClock, type TimedBatch, timed, type WarmUp, warmUp } from '../../timing/pairs.js';
import {
  type Agreement,
  type BatchTiming,
  describeMachine,
  lastingPart,
  poolRecords,
  RECORD_VERSION,
  type RowTiming,
  type TimingRecord,
  watchSurroundings,
} from '../../timing/record.js';
import { compareDynamic, describeVerification, type OpenGated, openBeside, openGated } from '../open.js';
import {
  clearPartial,
  type RawPair,
  resumableRows,
  type TimedRow,
  type TimingOptions,
  type TimingOutcome,
  timedCode,
  writeTiming,
} from './files.js';
import {
  agreementOf,
  type Bench,
  DISCARDED_PAIRS,
  type Networks,
  nameOf,
  originalOf,
  plainThresholds,
  type RowPlan,
  schedule,
  timedNetworks,
  timeRow,
} from './row.js';

/**
 * Times every row of an experiment's table against the original network, in this process, on test images in their order. The
 * time is that from normalised images in memory to answers in memory, transfers included.
 *
 * @param task shows the rows done so far
 * @throws InputError if there are no rows, or too few images
 */
export async function timeGated(
  context: RunContext,
  opened: OpenGated,
  engine: Engine,
  options: TimingOptions,
  task: Bench['task'],
): Promise<TimingOutcome> {
  checkImages(opened, options);
  const original = await engine.loadFeatures(await originalOf(opened).source.lowered(), []);
  let gated: GatedNetwork | undefined;
  try {
    const { confidence } = opened.experiment.gates;
    gated = await engine.loadGated(await opened.lowered(), opened.gates, confidence, opened.fitted && 'input');
    return await timeLoaded(context, opened, engine, options, { original, gated }, task);
  } finally {
    await gated?.close();
    await original.close();
  }
}

/** @throws InputError for more images than there are, or fewer than a batch */
function checkImages(opened: OpenGated, { images, batches }: TimingOptions): void {
  const { count } = opened.test;
  if (images !== undefined && images > count) {
    throw new InputError(`--images ${images}; valid: 1 to ${count}, the test images`);
  }
  for (const batch of batches) for (const row of opened.rows) schedule(opened, row, batch, images);
}

async function timeLoaded(
  context: RunContext,
  opened: OpenGated,
  engine: Engine,
  options: TimingOptions,
  networks: Networks,
  task: Bench['task'],
): Promise<TimingOutcome> {
  const { experiment, source } = opened;
  const verified = options.verify === true ? await verify(context, opened, networks.gated) : null;
  const bench: Bench = { opened, options, clock: options.clock ?? monotonicClock, networks, task };
  const pairs: RawPair[] = [];
  const batches: BatchTiming[] = [];
  for (const batch of options.batches) batches.push(await timeBatchSize(bench, batch, batches.length, pairs));
  const record: TimingRecord = {
    version: RECORD_VERSION,
    experiment: experiment.name,
    preset: options.preset,
    date: new Date().toISOString(),
    dgate: version(),
    code: timedCode(engine.describe().id),
    engine: engine.describe(),
    machine: await describeMachine(),
    rules: options.rules,
    repeats: 1,
    system: systemIdentity({ ...opened, imageHashes: {} }),
    network: source.network.name,
    checkpointSha256: source.checkpoint.sha256,
    batches,
    verified,
  };
  return { record, pairs };
}

async function timeBatchSize(bench: Bench, batch: number, before: number, raw: RawPair[]): Promise<BatchTiming> {
  const { opened } = bench;
  bench.task.update(before * opened.rows.length, `batch ${batch}, warm-up`);
  const warm = await warmNetworks(bench, batch);
  const endWatch = watchSurroundings();
  const rows: RowTiming[] = [];
  for (const [at, row] of opened.rows.entries()) {
    const index = at + (opened.beside?.row ?? 0);
    const onShare = (share: number): void => {
      const detail = `batch ${batch}, ${nameOf(opened, row)}`;
      bench.task.update(before * opened.rows.length + at + share, detail);
    };
    const { timing, pairs } = await resumedOrTimed(bench, { batch, index, row, warm, onShare });
    rows.push(timing);
    for (const pair of pairs) raw.push(pair);
  }
  const surroundings = endWatch();
  const unsettled = `the times had not settled when the warm-up ended, after ${warm.runs} runs of each network`;
  const warnings = [...(warm.stable ? [] : [unsettled]), ...surroundingsWarnings(surroundings)];
  const { runs, ms, stable, exitMs } = warm;
  const ofExits = opened.beside === undefined && { exitMs };
  return { batch, warmUp: { runs, ms, stable }, rows, ...ofExits, warnings, surroundings };
}

/** The row of an interrupted timing, or timed now and kept. */
async function resumedOrTimed(bench: Bench, plan: RowPlan): Promise<TimedRow> {
  const { resume } = bench.options;
  const { batch, index, row } = plan;
  const found = await resume?.find(batch, index, plainThresholds(row));
  if (found !== undefined) return found;
  const timed = await timeRow(bench, plan);
  await resume?.keep(batch, index, timed);
  return timed;
}

/** Runs both networks with closed gates until their times settle, then each exit. @returns with the time of each exit */
async function warmNetworks(bench: Bench, batch: number): Promise<WarmUp & { readonly exitMs: readonly number[] }> {
  const { opened, options, clock } = bench;
  const { prepared } = schedule(opened, opened.rows[0]!, batch, options.images);
  const { value } = await prepared().next();
  const some = value as TimedBatch;
  await bench.networks.gated.prepare?.(batch);
  const { original, gated } = timedNetworks(bench);
  const closed = opened.gates.map(() => Number.POSITIVE_INFINITY);
  const warm = await warmUp(clock, [() => original(some), () => gated({ ...some, thresholds: closed })]);
  const exitMs: number[] = [];
  for (const gate of opened.gates.keys()) {
    const leaving = { ...some, thresholds: closed.with(gate, Number.NEGATIVE_INFINITY) };
    const times: number[] = [];
    for (let run = 0; run < DISCARDED_PAIRS; run++) times.push((await timed(clock, () => gated(leaving))).ms);
    exitMs.push(median(times));
  }
  return { ...warm, exitMs: [...exitMs, warm.medianMs[1]!] };
}

/** Compares all test images with the cached evaluation, row by row. */
async function verify(context: RunContext, opened: OpenGated, gated: GatedNetwork): Promise<Agreement[]> {
  const found: Agreement[] = [];
  for (const row of opened.rows) {
    const compared = await compareDynamic(opened, gated, row, { batch: BATCH_IMAGES, progress: context.progress });
    context.progress.note(`${nameOf(opened, row)}: ${describeVerification(compared)}`);
    found.push(agreementOf(compared));
  }
  return found;
}

/**
 * Times the rows of a finished run and the systems beside them, measures their memory, and writes all to its folder. Rows and
 * repeats are kept there as they come, and an interrupted timing resumes after the last one.
 *
 * @param fresh times a repeat (from 1) in a new process, which keeps it in the folder; absent: in this process
 * @returns the outcome with its speeds
 * @throws InputError if it has nothing to time, or fewer images than a batch
 */
export async function timeRun(
  context: AnalysisContext,
  outcome: RunOutcome,
  options: TimingOptions,
  fresh?: (repeat: number) => Promise<void>,
): Promise<RunOutcome> {
  const { repeats = 1, batches } = options;
  const opened = await openTiming(context, outcome, options);
  for (const one of opened.systems) checkImages(one, options);
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
  const records = found.map((timed) => timed.record);
  const record = poolRecords(records, (repeat, batch, row) =>
    found[repeat]!.pairs.filter((pair) => pair.batch === batch && pair.row === row + 1),
  );
  await writeTiming({ record, pairs: found.flatMap(({ pairs }) => pairs) }, opened.folder);
  await clearPartial(opened.folder);
  return withTiming(outcome, record);
}

/** Times one repeat in this process, measures the memory, and keeps both in the run's folder. */
export async function timeRepeat(context: AnalysisContext, outcome: RunOutcome, options: TimingOptions): Promise<void> {
  const { systems, engine, repeat } = await openTiming(context, outcome, options);
  const resume = repeat(options.repeat ?? 1);
  const verify = options.verify === true && (options.repeat ?? 1) === 1; // the answers are the same in every process
  const task = beginTiming(context, systems, options);
  let before = 0; // rows of the systems timed before
  const found = await eachInTurn(systems, async (one) => {
    const own = { update: (done: number, detail?: string) => task.update(before + done, detail) };
    const isVerified = verify && one.beside === undefined;
    const timed = await timeGated(context, one, engine, { ...options, verify: isVerified, resume }, own);
    before += options.batches.length * one.rows.length;
    return timed;
  });
  task.end();
  const { record } = found[0]!;
  const batches = await eachInTurn(record.batches, async (first, at): Promise<BatchTiming> => {
    const all = found.map((one) => one.record.batches[at]!);
    const { footprint } = await import('../export.js'); // loads ONNX Runtime
    const rows = await eachInTurn(all, async ({ rows, batch }, i) => {
      const sizes = await footprint(systems[i]!, options.preset, batch);
      return rows.map((row) => ({ ...row, ...sizes }));
    });
    return { ...first, rows: rows.flat(), warnings: [...new Set(all.flatMap(({ warnings }) => warnings))] };
  });
  await resume.finish({ record: { ...record, batches }, pairs: found.flatMap(({ pairs }) => pairs) });
}

/** The progress of a repeat, which counts the rows of all later repeats too. */
function beginTiming(
  { progress }: RunContext,
  systems: readonly OpenGated[],
  { batches, repeat = 1, repeats = 1 }: TimingOptions,
): ProgressTask {
  const rows = systems.reduce((sum, one) => sum + one.rows.length, 0);
  const which = repeats === 1 ? '' : `, repeat ${repeat} of ${repeats}`;
  const total = (repeats - repeat + 1) * batches.length * rows;
  return progress.begin(`timing ${systems[0]!.beside?.name ?? systems[0]!.experiment.name}${which}`, total, 'rows');
}

/** What all repeats of a timing share. */
async function openTiming(context: AnalysisContext, outcome: RunOutcome, options: TimingOptions) {
  const { experiment, rows, engine } = outcome;
  // The run has just noted the state of the cache.
  const quiet = { ...context, progress: { ...context.progress, note() {} } };
  const gated = await openGated(quiet, experiment);
  const runs = new Map(options.rowsOnly ? [] : runsBeside(outcome).map((run) => [run[0], run]));
  if (runs.size > 0 && !engine.entry.id.startsWith('ort-')) {
    context.progress.note(`engine ${engine.entry.id} cuts no network: the systems beside the rows are not timed`);
    runs.clear();
  }
  const beside = await eachInTurn([...runs.values()], (run, i) => openBeside(quiet, gated, run, rows.length + i));
  const systems = [...(rows.length > 0 ? [gated] : []), ...beside];
  if (systems.length === 0) {
    throw new InputError(`${experiment.name}: no rows to time; valid: thresholds.margins or fixed, or baselines`);
  }
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
    systems: systems.length,
  };
  const repeat = (number: number) => resumableRows(folder, key, context.progress.note, number);
  return { systems, folder, engine: opening, repeat };
}
