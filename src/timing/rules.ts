import type { TimingProgress } from './pairs.js';

export const ruleNames = ['default', 'mlperf'] as const;
export type RuleName = (typeof ruleNames)[number];

/** How long a row is timed. */
export interface Rule {
  /** What was chosen and why, for the console and the record. */
  readonly description: string;
  /** Fewer will not be enough. */
  readonly leastPairs: number;
  readonly isEnough: (soFar: TimingProgress) => boolean;
  /** Share of what is needed that is done, 0 to 1. */
  readonly done: (soFar: TimingProgress) => number;
}

/** Time that a row takes where nothing else is asked for. */
const ROW_MS = 15_000;
/** Fewer pairs than this say little about t/t0, whatever a pair takes. */
const leastPairs = (batch: number): number => (batch === 1 ? 400 : 60);

/**
 * As many pairs as fit into about 15 s, at most every image once, but never fewer than 400 pairs (batch 1) or 60; where
 * there are fewer images, they come again.
 *
 * @param pairMs what a pair is likely to take
 * @param available pairs of different images
 */
export function chosenPairs(batch: number, pairMs: number, available: number): Rule {
  const least = leastPairs(batch);
  const fitting = Math.floor(ROW_MS / pairMs);
  const pairs = fitting > least ? Math.max(least, Math.min(fitting, available)) : least;
  let why = `about ${ROW_MS / 1000} s`;
  if (pairs === available) why = 'every image once';
  else if (pairs === least) why = 'the least that says something';
  return exactly(pairs, `${pairs.toLocaleString('en')} pairs (${why})`);
}

/** So many pairs. */
export function exactly(pairs: number, description = `${pairs.toLocaleString('en')} pairs`): Rule {
  const isEnough = (soFar: TimingProgress): boolean => soFar.pairs >= pairs;
  return { description, leastPairs: pairs, isEnough, done: (soFar) => soFar.pairs / pairs };
}

/**
 * MLPerf Inference's least run (mlcommons/inference, mlperf.conf): single-stream, one image a query, at least 1,024
 * queries and 600 s, judged by the 90th percentile of the latency; offline, at least 24,576 images and 600 s, judged by
 * images per second. Each of the two networks has to reach both on its own. Images come in their order, not drawn.
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
