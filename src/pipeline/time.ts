import type { Engine, FeatureNetwork, GatedBatch, GatedNetwork } from '../engines/engine.js';
import { InputError } from '../errors.js';
import type { PresetName } from '../experiment/definition.js';
import type { ProgressTask } from '../progress.js';
import { version } from '../project.js';
import { modelName } from '../report/rows.js';
import { type Clock, monotonicClock } from '../timing/clock.js';
import { estimate, type PairTimes } from '../timing/estimate.js';
import { describeMachine, watchSurroundings } from '../timing/machine.js';
import { noiseWarnings, surroundingsWarnings } from '../timing/noise.js';
import { type Contest, measurePairs, type TimedBatch, threadsSleep } from '../timing/pairs.js';
import {
  type Agreement,
  type BatchTiming,
  RECORD_VERSION,
  type RowTiming,
  type TimingRecord,
} from '../timing/record.js';
import { chosenPairs, exactly, mlperf, type Rule, type RuleName } from '../timing/rules.js';
import { summarise } from '../timing/statistics.js';
import { type WarmUp, warmUp } from '../timing/warm-up.js';
import { BATCH_IMAGES } from './batches.js';
import type { RunContext } from './context.js';
import type { OpenGated } from './gated.js';
import type { Row } from './search.js';
import { type Schedule, schedule } from './timed-batches.js';
import { type Comparison, compareBatch, compareDynamic, describeComparison, nothing } from './verify-dynamic.js';

export interface TimingOptions {
  readonly preset: PresetName;
  /** Batch sizes; 1 is the latency of the paper's tables. */
  readonly batches: readonly number[];
  /** Times this many test images, the first ones, each once; chosen by what a run takes if absent. */
  readonly images?: number | undefined;
  readonly rules: RuleName;
  /** First compares class and exit of all test images with the cached evaluation. */
  readonly verify?: boolean;
  readonly clock?: Clock;
  /** Rest before each timed run; tests, whose networks have no threads, take none. */
  readonly rest?: () => Promise<void>;
}

/** One measured pair in the raw times. */
export interface RawPair extends PairTimes {
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

export interface TimingOutcome {
  readonly record: TimingRecord;
  readonly pairs: readonly RawPair[];
}

/** Pairs of each row that are run and thrown away, after the warm-up. */
const DISCARDED_PAIRS = 5;

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
  const { count } = opened.test;
  if (options.images !== undefined && options.images > count) {
    throw new InputError(`--images ${options.images}; valid: 1 to ${count}, the test images`);
  }
  for (const batch of options.batches) for (const row of opened.rows) schedule(opened, row, batch, options.images);
  const lowered = await opened.source.lowered();
  const original = await engine.loadFeatures(lowered, []);
  try {
    const gated = await engine.loadGated(lowered, opened.gates, opened.experiment.gates.confidence);
    try {
      return await timeLoaded(context, opened, engine, options, { original, gated });
    } finally {
      await gated.close();
    }
  } finally {
    await original.close();
  }
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
  const total = options.batches.length * rows.length;
  const task = context.progress.begin(`timing ${experiment.name}`, total, 'rows');
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
    engine: engine.describe(),
    machine: await describeMachine(),
    rules: options.rules,
    network: source.network.name,
    checkpointSha256: source.checkpoint.sha256,
    batches,
    verified,
  };
  return { record, pairs };
}

interface Networks {
  readonly original: FeatureNetwork;
  readonly gated: GatedNetwork;
}

interface Bench {
  readonly opened: OpenGated;
  readonly options: TimingOptions;
  readonly clock: Clock;
  readonly networks: Networks;
  readonly task: ProgressTask;
}

async function timeBatchSize(bench: Bench, batch: number, before: number, raw: RawPair[]): Promise<BatchTiming> {
  const { opened, options } = bench;
  const warm = await warmNetworks(bench, batch);
  const endWatch = watchSurroundings();
  const rows: RowTiming[] = [];
  for (const [index, row] of opened.rows.entries()) {
    const planned = schedule(opened, row, batch, options.images);
    const rule = ruleFor(bench, batch, row, planned, warm);
    const onShare = (share: number): void => {
      const detail = `batch ${batch}, ${modelName(row.thresholds)}`;
      bench.task.update(before * opened.rows.length + index + share, detail);
    };
    rows.push(await timeRow(bench, { batch, index, row, planned, rule, onShare }, raw));
  }
  const surroundings = endWatch();
  const unsettled = `the times had not settled when the warm-up ended, after ${warm.runs} runs of each network`;
  const warnings = [...(warm.stable ? [] : [unsettled]), ...surroundingsWarnings(surroundings)];
  const { runs, ms, stable } = warm;
  return { batch, warmUp: { runs, ms, stable }, rows, warnings, surroundings };
}

function ruleFor(bench: Bench, batch: number, row: Row, { batches }: Schedule, { medianMs }: WarmUp): Rule {
  const { options, opened } = bench;
  if (options.rules === 'mlperf') return mlperf(batch);
  if (options.images !== undefined) return exactly(batches.length);
  const share = row.evaluation.flops / opened.flops.flops;
  // An untimed run on one image goes before each timed one, and a rest of some milliseconds.
  const originalMs = medianMs[0]! * (1 + 1 / batch);
  return chosenPairs(batch, originalMs * (1 + share) + 5, batches.length);
}

/** Both networks until their times settle, with every gate closed; then every way out of the gated one. */
async function warmNetworks(bench: Bench, batch: number): Promise<WarmUp> {
  const { opened, options, clock } = bench;
  const { prepared } = schedule(opened, opened.rows[0]!, batch, options.images);
  const { value } = await prepared().next();
  const some = value as TimedBatch;
  const { original, gated } = contest(bench);
  const closed = opened.gates.map(() => Number.POSITIVE_INFINITY);
  const warm = await warmUp(clock, [() => original(some), () => gated({ ...some, thresholds: closed })]);
  for (const gate of opened.gates.keys()) {
    const thresholds = closed.with(gate, Number.NEGATIVE_INFINITY);
    for (let run = 0; run < DISCARDED_PAIRS; run++) await gated({ ...some, thresholds });
  }
  return warm;
}

function contest({ networks: { original, gated }, options }: Bench): Contest<GatedBatch> {
  return {
    rest: options.rest ?? threadsSleep,
    original: ({ input, images }) => original.run(input, images.length),
    gated: ({ input, images, thresholds }) => gated.run(input, images.length, thresholds),
  };
}

interface RowPlan {
  readonly batch: number;
  readonly index: number;
  readonly row: Row;
  readonly planned: Schedule;
  readonly rule: Rule;
  readonly onShare: (share: number) => void;
}

async function timeRow(bench: Bench, plan: RowPlan, raw: RawPair[]): Promise<RowTiming> {
  const { clock, opened } = bench;
  const { batch, index: rowIndex, row, planned, rule } = plan;
  const compared = nothing();
  const discarded = exactly(DISCARDED_PAIRS);
  for await (const _ of measurePairs(clock, contest(bench), planned.prepared(), discarded.isEnough));
  const pairs: RawPair[] = [];
  const isEnough: Rule['isEnough'] = (soFar) => {
    plan.onShare(rule.done(soFar));
    return rule.isEnough(soFar);
  };
  for await (const pair of measurePairs(clock, contest(bench), planned.prepared(), isEnough)) {
    const { images, thresholds } = pair.batch;
    // Each image once: after that they come again.
    if (pairs.length < planned.batches.length) {
      compareBatch(compared, opened.scores, thresholds, images, pair.result);
    }
    const exits = countExits(pair.result.exits, opened.costs.length);
    const spent = exits.reduce((sum, number, exit) => sum + number * opened.costs[exit]!, 0);
    pairs.push({
      batch,
      row: rowIndex + 1,
      index: pairs.length,
      image: images[0]!,
      first: pair.first,
      originalMs: pair.originalMs,
      gatedMs: pair.gatedMs,
      flopsShare: spent / (images.length * opened.flops.flops),
      exits,
    });
  }
  for (const pair of pairs) raw.push(pair);
  return { ...rowTiming(opened, row, batch, pairs), rule: rule.description, ...verdict(pairs, compared, opened) };
}

function rowTiming(opened: OpenGated, row: Row, batch: number, pairs: readonly RawPair[]) {
  const originalMs = summarise(pairs.map((pair) => pair.originalMs));
  const gatedMs = summarise(pairs.map((pair) => pair.gatedMs));
  return {
    model: modelName(row.thresholds),
    thresholds: row.thresholds.map((part) => part.map((t) => (Number.isFinite(t) ? t : null))),
    pairs: pairs.length,
    images: pairs.length * batch,
    originalMs,
    gatedMs,
    originalImagesPerSecond: (1000 * batch) / originalMs.mean,
    gatedImagesPerSecond: (1000 * batch) / gatedMs.mean,
    exits: opened.costs.map((_, exit) => pairs.reduce((sum, pair) => sum + pair.exits[exit]!, 0)),
  };
}

/** Speed-up and efficiency of the pairs, whether the answers were right, and what stands against trusting them. */
function verdict(pairs: readonly RawPair[], compared: Comparison, { experiment }: OpenGated) {
  const found = estimate(pairs, experiment.seed);
  const agreement = agreementOf(compared);
  const { differing, images } = agreement;
  const wrong = `class or exit of ${differing} of ${images} images differs from the cached evaluation`;
  const warnings = [...(differing > 0 ? [wrong] : []), ...noiseWarnings(pairs, found, experiment.seed)];
  return { ...found, agreement, warnings };
}

function agreementOf({ images, near, different }: Comparison): Agreement {
  return { images, nearThreshold: near, differing: different.length };
}

/** Every test image through the gated network, row by row, before any is timed. */
async function verify(context: RunContext, opened: OpenGated, gated: GatedNetwork): Promise<Agreement[]> {
  const found: Agreement[] = [];
  for (const row of opened.rows) {
    const compared = await compareDynamic(opened, gated, row, { batch: BATCH_IMAGES, progress: context.progress });
    context.progress.note(`${modelName(row.thresholds)}: ${describeComparison(compared)}`);
    found.push(agreementOf(compared));
  }
  return found;
}

function countExits(exits: Int32Array, ways: number): number[] {
  const counts = new Array<number>(ways).fill(0);
  for (const exit of exits) counts[exit]!++;
  return counts;
}
