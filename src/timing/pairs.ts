import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, timed } from './clock.js';

/** Images of one run, prepared before the clock is read. */
export interface TimedBatch {
  /** Positions of the images in the test set, in order. */
  readonly images: Int32Array;
  /** [count, channels, height, width], normalised */
  readonly input: Float32Array;
  /** What the gated network holds against these images. */
  readonly thresholds: readonly number[];
}

/** The two networks that are timed against each other on one engine. */
export interface TimedNetworks<Result> {
  readonly original: (batch: TimedBatch) => Promise<unknown>;
  readonly gated: (batch: TimedBatch) => Promise<Result>;
  /** Waits until the threads of the network that ran last have gone to sleep. */
  readonly rest: () => Promise<void>;
}

/** Threads of some engines go on looking for work for a while after a run, and take it from others. */
const REST_MS = 2;

export const threadsSleep = async (): Promise<void> => {
  await delay(REST_MS);
};

/** One measured pair. */
export interface MeasuredPair<Result> {
  readonly batch: TimedBatch;
  /** Turn in which it was measured, from 0. */
  readonly turn: number;
  readonly first: 'original' | 'gated';
  readonly originalMs: number;
  readonly gatedMs: number;
  readonly result: Result;
}

/** What has been measured so far; a rule says when it is enough. */
export interface TimingProgress {
  readonly pairs: number;
  readonly images: number;
  readonly originalMs: number;
  readonly gatedMs: number;
}

/** About what a network runs before the other has its turn. */
const TURN_MS = 50;
const MOST_BATCHES_A_TURN = 64;
/** Each network has at least so many turns, so that many pairs do not stand or fall together. */
const LEAST_TURNS = 20;

/**
 * Batches that a network runs back to back before the other has its turn on the same ones.
 *
 * @param originalMs of a batch
 * @param pairs that will be measured
 */
export function batchesPerTurn(originalMs: number, pairs: number): number {
  const most = Math.min(MOST_BATCHES_A_TURN, Math.floor(pairs / LEAST_TURNS));
  return Math.max(1, Math.min(most, Math.round(TURN_MS / originalMs)));
}

/**
 * The original and the gated network on the same images in turn: one runs the batches of a turn, one after the other,
 * each timed by itself, then the other runs the same ones; which of the two goes first alternates. A pair is a batch's
 * two times. Images are prepared between the turns, outside the times.
 *
 * What is wanted is the time of a network that has the machine to itself, image after image. So before each turn the
 * other network's threads are left to fall asleep, and the network runs once, untimed, on the first two images of a
 * batch (a single one may go another way through the engine, whose threads would then be in the way); and a turn of a
 * small network is many batches long, since a first run after a rest can take twice as long as the next ones.
 *
 * @param batches more than enough; the rest is not asked for
 * @param perTurn batches a turn
 * @param isEnough asked after every pair of a turn that has been measured
 * @returns pairs as they are measured
 * @throws Error where the batches end before it is enough
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

/** So many at a time; the last ones may be fewer. */
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
