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
export interface Contest<Result> {
  readonly original: (batch: TimedBatch) => Promise<unknown>;
  readonly gated: (batch: TimedBatch) => Promise<Result>;
  /** Waits until the threads of the network that ran last have gone to sleep. */
  readonly rest: () => Promise<void>;
}

/** ONNX Runtime's threads go on looking for work for about a millisecond after a run, and take it from others. */
const REST_MS = 2;

export const threadsSleep = async (): Promise<void> => {
  await delay(REST_MS);
};

/** One measured pair. */
export interface MeasuredPair<Result> {
  readonly batch: TimedBatch;
  readonly first: 'original' | 'gated';
  readonly originalMs: number;
  readonly gatedMs: number;
  readonly result: Result;
}

/** What has been measured so far; a rule says when it is enough. */
export interface SoFar {
  readonly pairs: number;
  readonly images: number;
  readonly originalMs: number;
  readonly gatedMs: number;
}

/**
 * The original and the gated network on the same images in turn, pair by pair; which of the two goes first alternates.
 * Images are prepared between the pairs, outside the times.
 *
 * What is wanted is the time of a network that has the machine to itself, image after image. So before each timed run
 * the other network's threads are left to fall asleep, and the network runs once, untimed, on the first image of the
 * batch before.
 *
 * @param batches more than enough; the rest is not asked for
 * @param isEnough asked after every pair
 * @returns pairs as they are measured
 * @throws Error where the batches end before it is enough
 */
export async function* measurePairs<Result>(
  clock: Clock,
  { original, gated, rest }: Contest<Result>,
  batches: AsyncIterable<TimedBatch>,
  isEnough: (soFar: SoFar) => boolean,
): AsyncGenerator<MeasuredPair<Result>> {
  let soFar: SoFar = { pairs: 0, images: 0, originalMs: 0, gatedMs: 0 };
  let previous: TimedBatch | undefined;
  for await (const batch of batches) {
    const leadIn = firstImage(previous ?? batch);
    const measure = async <T>(network: (batch: TimedBatch) => Promise<T>): Promise<{ ms: number; result: T }> => {
      await rest();
      await network(leadIn);
      return timed(clock, () => network(batch));
    };
    const first = soFar.pairs % 2 === 0 ? 'original' : 'gated';
    const before = first === 'original' ? await measure(original) : undefined;
    const { ms: gatedMs, result } = await measure(gated);
    const { ms: originalMs } = before ?? (await measure(original));
    previous = batch;
    soFar = {
      pairs: soFar.pairs + 1,
      images: soFar.images + batch.images.length,
      originalMs: soFar.originalMs + originalMs,
      gatedMs: soFar.gatedMs + gatedMs,
    };
    yield { batch, first, originalMs, gatedMs, result };
    if (isEnough(soFar)) return;
  }
  throw new Error(`the images ended after ${soFar.pairs} pairs`);
}

function firstImage({ images, input, thresholds }: TimedBatch): TimedBatch {
  const values = input.length / images.length;
  return { images: images.subarray(0, 1), input: input.subarray(0, values), thresholds };
}
