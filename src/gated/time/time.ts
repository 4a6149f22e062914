import type { Engine, GatedNetwork } from '../../engines/engine.js';
import { InputError } from '../../errors.js';
import { systemName } from '../../experiment/network.js';
import { version } from '../../project.js';
import { modelName } from '../../report/rows.js';
import { BATCH_IMAGES } from '../../run/batches.js';
import type { RunContext } from '../../run/context.js';
import { surroundingsWarnings } from '../../timing/estimate.js';
import { monotonicClock, type TimedBatch, type WarmUp, warmUp } from '../../timing/pairs.js';
import {
  type Agreement,
  type BatchTiming,
  describeMachine,
  RECORD_VERSION,
  type RowTiming,
  type TimingRecord,
  watchSurroundings,
} from '../../timing/record.js';

import type { OpenGated } from '../open.js';
import { compareDynamic, describeVerification } from '../verify.js';
import { type RawPair, type TimedRow, type TimingOptions, type TimingOutcome, timedCode } from './files.js';
import {
  agreementOf,
  type Bench,
  DISCARDED_PAIRS,
  type Networks,
  plainThresholds,
  type RowPlan,
  schedule,
  timedNetworks,
  timeRow,
} from './row.js';

/**
 * Times every row of an experiment's table against the original network on one engine in this process, on real test
 * images in their order. Of both networks everything from the images in memory to the answer in memory is timed: gates,
 * transfers and waiting for the device included; reading and normalising the images is not.
 *
 * @throws InputError where there are no rows, or too few images
 */
export async function timeGated(
  context: RunContext,
  opened: OpenGated,
  engine: Engine,
  options: TimingOptions,
): Promise<TimingOutcome> {
  checkImages(opened, options);
  const lowered = await opened.source.lowered();
  const original = await engine.loadFeatures(lowered, []);
  try {
    const { confidence, calibrate } = opened.experiment.gates;
    const gated = await engine.loadGated(
      await opened.lowered(),
      opened.gates,
      confidence,
      calibrate ? 'input' : undefined,
    );
    try {
      return await timeLoaded(context, opened, engine, options, { original, gated });
    } finally {
      await gated.close();
    }
  } finally {
    await original.close();
  }
}

/** @throws InputError for more images than there are, or fewer than a batch */
export function checkImages(opened: OpenGated, { images, batches }: TimingOptions): void {
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
): Promise<TimingOutcome> {
  const { experiment, rows, source } = opened;
  const verified = options.verify === true ? await verify(context, opened, networks.gated) : null;
  const { repeat = 1, repeats = 1 } = options;
  // The time left is that of this and of all later repeats.
  const total = (repeats - repeat + 1) * options.batches.length * rows.length;
  const which = repeats === 1 ? '' : `, repeat ${repeat} of ${repeats}`;
  const task = context.progress.begin(`timing ${experiment.name}${which}`, total, 'rows');
  const bench: Bench = { opened, options, clock: options.clock ?? monotonicClock, networks, task };
  const pairs: RawPair[] = [];
  const batches: BatchTiming[] = [];
  for (const batch of options.batches) batches.push(await timeBatchSize(bench, batch, batches.length, pairs));
  task.end();
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
  for (const [index, row] of opened.rows.entries()) {
    const onShare = (share: number): void => {
      const detail = `batch ${batch}, ${modelName(row.thresholds, systemName(opened.experiment.network))}`;
      bench.task.update(before * opened.rows.length + index + share, detail);
    };
    const { timing, pairs } = await resumedOrTimed(bench, { batch, index, row, warm, onShare });
    rows.push(timing);
    for (const pair of pairs) raw.push(pair);
  }
  const surroundings = endWatch();
  const unsettled = `the times had not settled when the warm-up ended, after ${warm.runs} runs of each network`;
  const warnings = [...(warm.stable ? [] : [unsettled]), ...surroundingsWarnings(surroundings)];
  const { runs, ms, stable } = warm;
  return { batch, warmUp: { runs, ms, stable }, rows, warnings, surroundings };
}

/** The row as an interrupted timing has left it, or timed now and kept. */
async function resumedOrTimed(bench: Bench, plan: RowPlan): Promise<TimedRow> {
  const { resume } = bench.options;
  const { batch, index, row } = plan;
  const found = await resume?.find(batch, index, plainThresholds(row));
  if (found !== undefined) return found;
  const timed = await timeRow(bench, plan);
  await resume?.keep(batch, index, timed);
  return timed;
}

/** Both networks until their times settle, with every gate closed; then every way out of the gated one. */
async function warmNetworks(bench: Bench, batch: number): Promise<WarmUp> {
  const { opened, options, clock } = bench;
  const { prepared } = schedule(opened, opened.rows[0]!, batch, options.images);
  const { value } = await prepared().next();
  const some = value as TimedBatch;
  await bench.networks.gated.prepare?.(batch);
  const { original, gated } = timedNetworks(bench);
  const closed = opened.gates.map(() => Number.POSITIVE_INFINITY);
  const warm = await warmUp(clock, [() => original(some), () => gated({ ...some, thresholds: closed })]);
  for (const gate of opened.gates.keys()) {
    const thresholds = closed.with(gate, Number.NEGATIVE_INFINITY);
    for (let run = 0; run < DISCARDED_PAIRS; run++) await gated({ ...some, thresholds });
  }
  return warm;
}

/** Every test image through the gated network, row by row, before any is timed. */
async function verify(context: RunContext, opened: OpenGated, gated: GatedNetwork): Promise<Agreement[]> {
  const found: Agreement[] = [];
  for (const row of opened.rows) {
    const compared = await compareDynamic(opened, gated, row, { batch: BATCH_IMAGES, progress: context.progress });
    context.progress.note(
      `${modelName(row.thresholds, systemName(opened.experiment.network))}: ${describeVerification(compared)}`,
    );
    found.push(agreementOf(compared));
  }
  return found;
}
