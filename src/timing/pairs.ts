import { setTimeout as delay } from 'node:timers/promises';
import { median } from '../statistics/intervals.js';

/** Milliseconds since a fixed moment; never decreases. Tests inject a fake. */
export type Clock = () => number;

const origin = process.hrtime.bigint();

export const monotonicClock: Clock = () => Number(process.hrtime.bigint() - origin) / 1e6;

/** Times work, whose promise must resolve when the device has finished. */
export async function timed<T>(clock: Clock, work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const start = clock();
  const result = await work();
  return { ms: clock() - start, result };
}

/** When a warm-up ends. */
interface WarmUpBounds {
  /** Runs of a window; fewer if two windows do not fit into `maxMs`, but at least `leastWindow`. */
  readonly window: number;
  readonly leastWindow: number;
  /** Times are stable if the medians of two consecutive windows differ by at most this share. */
  readonly tolerance: number;
  readonly maxRuns: number;
  /** For slow works as long as three of the smallest windows of each take, but at most six times this. */
  readonly maxMs: number;
}

const warmUpBounds: WarmUpBounds = { window: 10, leastWindow: 3, tolerance: 0.05, maxRuns: 200, maxMs: 10_000 };

export interface WarmUp {
  /** Fewest runs of any work. */
  readonly runs: number;
  readonly ms: number;
  /** Whether the times were stable; if not, a bound ended the warm-up. */
  readonly stable: boolean;
  /** Median of each work's last runs. */
  readonly medianMs: readonly number[];
}

/**
 * Runs windows of each work in turn, at least once each, until all times are stable or a bound is reached. A first run may
 * open a session and compile, which does not count towards `maxMs`; the second run of the first work sets the window.
 */
export async function warmUp(
  clock: Clock,
  works: readonly (() => Promise<unknown>)[],
  bounds: WarmUpBounds = warmUpBounds,
): Promise<WarmUp> {
  const { tolerance, maxRuns } = bounds;
  let { window, maxMs } = bounds;
  const times: number[][] = works.map(() => []);
  const start = clock();
  const latest = (list: readonly number[], before = 0): number =>
    median(list.slice(Math.max(0, list.length - before - window), list.length - before));
  const settled = (list: readonly number[]): boolean => Math.abs(latest(list) / latest(list, window) - 1) <= tolerance;
  const opening = (): number => times.reduce((sum, list) => sum + Math.max(0, list[0]! - list[1]! || 0), 0);
  const isOver = (): boolean => !(clock() - start - opening() < maxMs);
  let stable = false;
  for (let windows = 1; !stable && windows * window <= maxRuns && !(windows > 1 && isOver()); windows++) {
    for (const [index, work] of works.entries()) {
      const list = times[index]!;
      while (list.length < windows * window && !(list.length > 0 && isOver())) {
        list.push((await timed(clock, work)).ms);
        if (index > 0 || list.length !== 2) continue;
        window = windowOf(list[1]!, works.length, bounds);
        maxMs = Math.max(maxMs, Math.min(6 * maxMs, 3 * bounds.leastWindow * works.length * list[1]!));
      }
    }
    stable = windows > 1 && !isOver() && times.every(settled);
  }
  const runs = Math.min(...times.map((list) => list.length));
  return { runs, ms: clock() - start, stable, medianMs: times.map((list) => latest(list)) };
}

/** Runs of a window: two windows of each work fit into `maxMs`, within the bounds. */
function windowOf(ms: number, works: number, { window, leastWindow, maxMs }: WarmUpBounds): number {
  return Math.max(Math.min(leastWindow, window), Math.min(window, Math.floor(maxMs / (2 * works * ms))));
}

/** Images of one run, prepared outside the timed interval. */
export interface TimedBatch {
  /** Positions of the images in the test set, in order. */
  readonly images: Int32Array;
  /** [count, channels, height, width], normalised */
  readonly input: Float32Array;
  /** The same images as the original network reads them, if it reads them otherwise. */
  readonly originalInput?: Float32Array;
  readonly thresholds: readonly number[];
  /** What was fitted to each exit, if the network takes it. */
  readonly fitted?: readonly {
    readonly temperature: number;
    readonly factors: Float32Array;
    readonly offsets: Float32Array;
  }[];
}

export interface TimedNetworks<Result> {
  readonly original: (batch: TimedBatch) => Promise<unknown>;
  readonly gated: (batch: TimedBatch) => Promise<Result>;
  /** Waits until the other network's worker threads are idle. */
  readonly rest: () => Promise<void>;
}

/** Waits until worker threads, which spin after a run, sleep. */
export const threadsSleep = (): Promise<void> => delay(2);

interface MeasuredPair<Result> {
  readonly batch: TimedBatch;
  readonly turn: number;
  readonly first: 'original' | 'gated';
  readonly originalMs: number;
  readonly gatedMs: number;
  readonly result: Result;
}

/** Totals of the pairs measured so far. */
export interface TimingProgress {
  readonly pairs: number;
  readonly images: number;
  readonly originalMs: number;
  readonly gatedMs: number;
}

/** Approximate length of a turn: one network runs for this long, then the other. */
const TURN_MS = 50;
const MOST_BATCHES_A_TURN = 64;
/** Fewest turns of each network: pairs of one turn are correlated. */
const LEAST_TURNS = 20;

/** Batches in a turn. @param originalMs time of a batch @param pairs number of pairs to measure */
export function batchesPerTurn(originalMs: number, pairs: number): number {
  const most = Math.min(MOST_BATCHES_A_TURN, Math.floor(pairs / LEAST_TURNS));
  return Math.max(1, Math.min(most, Math.round(TURN_MS / originalMs)));
}

/**
 * Times the original and the gated network on the same images. In each turn one network runs the turn's batches, each timed
 * separately, then the other runs the same ones; the order alternates. Images are prepared between the turns.
 *
 * A network should have the machine to itself and run continuously. Each turn therefore waits until the other network's
 * worker threads are idle, and begins with an untimed run, because the first run after a pause can take twice as long. That
 * run has two images: a single one may take another path through the engine, with other threads.
 *
 * @param batches at least as many as needed; read on demand
 * @param perTurn batches in a turn
 * @param isEnough called after each measured pair
 * @returns pairs in the order of measurement
 * @throws Error if there are too few batches
 */
export async function* measurePairs<Result>(
  clock: Clock,
  { original, gated, rest }: TimedNetworks<Result>,
  batches: AsyncIterable<TimedBatch>,
  perTurn: number,
  isEnough: (soFar: TimingProgress) => boolean,
): AsyncGenerator<MeasuredPair<Result>> {
  let soFar: TimingProgress = { pairs: 0, images: 0, originalMs: 0, gatedMs: 0 };
  let turn = 0;
  for await (const several of inGroups(batches, perTurn)) {
    const measure = async <T>(network: (batch: TimedBatch) => Promise<T>) => {
      await rest();
      await network(firstImages(several[0]!));
      const found: { ms: number; result: T }[] = [];
      for (const batch of several) found.push(await timed(clock, () => network(batch)));
      return found;
    };
    const first = turn % 2 === 0 ? 'original' : 'gated';
    const before = first === 'original' ? await measure(original) : undefined;
    const ofGated = await measure(gated);
    const ofOriginal = before ?? (await measure(original));
    for (const [i, batch] of several.entries()) {
      const [{ ms: originalMs }, { ms: gatedMs, result }] = [ofOriginal[i]!, ofGated[i]!];
      soFar = {
        pairs: soFar.pairs + 1,
        images: soFar.images + batch.images.length,
        originalMs: soFar.originalMs + originalMs,
        gatedMs: soFar.gatedMs + gatedMs,
      };
      yield { batch, turn, first, originalMs, gatedMs, result };
      if (isEnough(soFar)) return;
    }
    turn++;
  }
  throw new Error(`the images ended after ${soFar.pairs} pairs`);
}

/** Groups of `size` items; the last group may be smaller. */
async function* inGroups<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let group: T[] = [];
  for await (const item of items) {
    if (group.push(item) < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

function firstImages({ images, input, originalInput, ...rest }: TimedBatch): TimedBatch {
  const first = (pixels: Float32Array) => pixels.subarray(0, (2 * pixels.length) / images.length);
  const original = originalInput && { originalInput: first(originalInput) };
  return { ...rest, images: images.subarray(0, 2), input: first(input), ...original };
}

export const ruleNames = ['default', 'mlperf'] as const;
export type RuleName = (typeof ruleNames)[number];

/** A stopping rule: how long a row is timed. */
export interface Rule {
  /** The choice and its reason. */
  readonly description: string;
  readonly leastPairs: number;
  readonly isEnough: (soFar: TimingProgress) => boolean;
  /** Progress, 0 to 1. */
  readonly done: (soFar: TimingProgress) => number;
}

/** Default time of a row. */
const ROW_MS = 15_000;
/** Fewest pairs for a useful estimate of t/t0. */
const leastPairs = (batch: number): number => (batch === 1 ? 400 : 60);

/**
 * As many pairs as fit into about 15 s, each image at most once, but at least 400 pairs (batch 1) or 60.
 *
 * @param pairMs expected time of a pair
 * @param available pairs of distinct images
 */
export function chosenPairs(batch: number, pairMs: number, available: number): Rule {
  const least = leastPairs(batch);
  const fitting = Math.floor(ROW_MS / pairMs);
  const pairs = fitting > least ? Math.max(least, Math.min(fitting, available)) : least;
  let why = `about ${ROW_MS / 1000} s`;
  if (pairs === available) why = 'every image once';
  else if (pairs === least) why = 'the fewest for an estimate';
  return exactly(pairs, `${pairs.toLocaleString('en')} pairs (${why})`);
}

export function exactly(pairs: number, description = `${pairs.toLocaleString('en')} pairs`): Rule {
  const isEnough = (soFar: TimingProgress): boolean => soFar.pairs >= pairs;
  return { description, leastPairs: pairs, isEnough, done: (soFar) => soFar.pairs / pairs };
}

/**
 * The shortest valid run of MLPerf Inference (mlcommons/inference, mlperf.conf). Single-stream: 1,024 queries of one image,
 * judged by the 90th percentile of the latency. Offline: 24,576 images, judged by images per second. Each of the two
 * networks also runs for 600 s. Images come in their order, not at random as in MLPerf.
 */
export function mlperf(batch: number): Rule {
  const leastImages = batch === 1 ? 1024 : 24_576;
  const leastMs = 600_000;
  const done = ({ images, originalMs, gatedMs }: TimingProgress): number =>
    Math.min(1, images / leastImages, originalMs / leastMs, gatedMs / leastMs);
  const scenario = batch === 1 ? 'single-stream: at least 1,024 queries' : 'offline: at least 24,576 images';
  const description = `MLPerf ${scenario} and 600 s of each network`;
  return { description, leastPairs: Math.ceil(leastImages / batch), isEnough: (soFar) => done(soFar) >= 1, done };
}
