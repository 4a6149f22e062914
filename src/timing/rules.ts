import type { TimingProgress } from './pairs.js';

export const ruleNames = ['default', 'mlperf'] as const;
export type RuleName = (typeof ruleNames)[number];

/** A stopping rule: how long a row is timed. */
export interface Rule {
  /** The choice and its reason, for the console and the record. */
  readonly description: string;
  /** Fewest pairs. */
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
 * As many pairs as fit into about 15 s, at most every image once, but at least 400 pairs (batch 1) or 60; if there are
 * fewer images, they are repeated.
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

/** A fixed number of pairs. */
export function exactly(pairs: number, description = `${pairs.toLocaleString('en')} pairs`): Rule {
  const isEnough = (soFar: TimingProgress): boolean => soFar.pairs >= pairs;
  return { description, leastPairs: pairs, isEnough, done: (soFar) => soFar.pairs / pairs };
}

/**
 * The shortest valid run of MLPerf Inference (mlcommons/inference, mlperf.conf): single-stream, one image per query, at
 * least 1,024 queries and 600 s, judged by the 90th percentile of the latency; offline, at least 24,576 images and 600
 * s, judged by images per second. Each of the two networks must reach both. Images come in their order, not at random.
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
