import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, timed } from './clock.js';

/** Images of one run, prepared outside the timed interval. */
export interface TimedBatch {
  /** Positions of the images in the test set, in order. */
  readonly images: Int32Array;
  /** [count, channels, height, width], normalised */
  readonly input: Float32Array;
  /** Thresholds of the gated network for these images. */
  readonly thresholds: readonly number[];
}

/** The two networks that are compared on one engine. */
export interface TimedNetworks<Result> {
  readonly original: (batch: TimedBatch) => Promise<unknown>;
  readonly gated: (batch: TimedBatch) => Promise<Result>;
  /** Waits until the worker threads of the other network are idle. */
  readonly rest: () => Promise<void>;
}

/** Worker threads of some engines spin for a while after a run and slow down other threads. */
const REST_MS = 2;

export const threadsSleep = async (): Promise<void> => {
  await delay(REST_MS);
};

/** One measured pair. */
interface MeasuredPair<Result> {
  readonly batch: TimedBatch;
  /** Turn in which it was measured, from 0. */
  readonly turn: number;
  readonly first: 'original' | 'gated';
  readonly originalMs: number;
  readonly gatedMs: number;
  readonly result: Result;
}

/** Totals of the pairs measured so far; a rule decides whether they are enough. */
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

/**
 * Batches that a network runs consecutively in a turn, before the other network runs the same ones.
 *
 * @param originalMs time of a batch
 * @param pairs number of pairs to measure
 */
export function batchesPerTurn(originalMs: number, pairs: number): number {
  const most = Math.min(MOST_BATCHES_A_TURN, Math.floor(pairs / LEAST_TURNS));
  return Math.max(1, Math.min(most, Math.round(TURN_MS / originalMs)));
}

/**
 * Times the original and the gated network on the same images in turn: one runs the batches of a turn, each timed
 * separately, then the other runs the same ones; which of the two starts alternates. A pair holds the two times of a
 * batch. Images are prepared between the turns and not timed.
 *
 * The measured time is that of a network that has the machine to itself and runs continuously. Therefore each turn
 * waits until the worker threads of the other network are idle, and starts with an untimed run on the first two images
 * of a batch (a single image may take another path through the engine, with threads that would interfere). A turn of a
 * small network has many batches, because the first run after a pause can take twice as long as the next ones.
 *
 * @param batches at least as many as needed; only those needed are read
 * @param perTurn batches per turn
 * @param isEnough called after every measured pair
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
    const measure = async <T>(network: (batch: TimedBatch) => Promise<T>): Promise<{ ms: number; result: T }[]> => {
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

function firstImages({ images, input, thresholds }: TimedBatch): TimedBatch {
  const values = input.length / images.length;
  return { images: images.subarray(0, 2), input: input.subarray(0, 2 * values), thresholds };
}
