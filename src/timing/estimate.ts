import { Random } from '../random.js';
import { percentileInterval } from '../statistics/bootstrap.js';
import type { Interval } from '../statistics/interval.js';

/** One pair of runs on the same images, one after the other. */
export interface PairTimes {
  readonly originalMs: number;
  readonly gatedMs: number;
  /** FLOPs of the gated network on these images / the original's. */
  readonly flopsShare: number;
  /** Turn of the pair: the pairs of a turn are measured together and are consecutive. */
  readonly turn: number;
}

/** Speed-up and efficiency of a gated network, estimated from pairs. */
export interface Estimate {
  /** 1 - t/t0, the paper's Speed-up; t and t0 are totals over the pairs. */
  readonly speedUp: number;
  readonly speedUpInterval: Interval;
  /** 1 - F/F0 on the timed images. */
  readonly flopsReduction: number;
  /** Share of the FLOPs reduction that becomes speed-up, (1 - t/t0) / (1 - F/F0); null if no FLOPs are saved. */
  readonly efficiency: number | null;
  readonly efficiencyInterval: Interval | null;
}

const RESAMPLES = 2000;
/**
 * Most blocks to resample: a block is a turn, or several consecutive turns of a longer run. Neighbouring times are
 * correlated; resampling single pairs would make the interval too narrow.
 */
const BLOCKS = 500;

/**
 * Speed-up and efficiency with 95 % intervals by a paired block bootstrap: whole turns are drawn with replacement, so
 * that disturbances of both runs of a pair, and the timed images, stay together.
 *
 * @param seed the same seed gives the same interval
 * @throws RangeError without pairs
 */
export function estimate(pairs: readonly PairTimes[], seed: number): Estimate {
  if (pairs.length === 0) throw new RangeError('no pairs');
  const blocks = blocksOf(pairs);
  const whole = ratios(blocks, (turn) => turn);
  const random = new Random(seed, 'timing');
  const resampled = Array.from({ length: RESAMPLES }, () => ratios(blocks, () => random.below(blocks.count)));
  const efficiencies = resampled.map(({ efficiency }) => efficiency).filter((value) => value !== null);
  return {
    ...whole,
    speedUpInterval: percentileInterval(
      resampled.map(({ speedUp }) => speedUp),
      0.95,
    ),
    // An interval would mean nothing if some resamples save no FLOPs.
    efficiencyInterval: efficiencies.length === RESAMPLES ? percentileInterval(efficiencies, 0.95) : null,
  };
}

/** Sums over the pairs of each block: t0, t, F/F0 and the number of pairs. */
interface Blocks {
  readonly count: number;
  readonly originalMs: Float64Array;
  readonly gatedMs: Float64Array;
  readonly flopsShare: Float64Array;
  readonly pairs: Float64Array;
}

function blocksOf(pairs: readonly PairTimes[]): Blocks {
  const turns = pairs.at(-1)!.turn - pairs[0]!.turn + 1;
  const count = Math.min(BLOCKS, turns);
  const sums = (): Float64Array => new Float64Array(count);
  const blocks: Blocks = { count, originalMs: sums(), gatedMs: sums(), flopsShare: sums(), pairs: sums() };
  for (const pair of pairs) {
    const block = Math.floor(((pair.turn - pairs[0]!.turn) * count) / turns);
    blocks.originalMs[block]! += pair.originalMs;
    blocks.gatedMs[block]! += pair.gatedMs;
    blocks.flopsShare[block]! += pair.flopsShare;
    blocks.pairs[block]!++;
  }
  return blocks;
}

/** Speed-up, FLOPs reduction and efficiency by the totals of all pairs. */
export function totalsOf(pairs: readonly PairTimes[]) {
  const sum = (of: (pair: PairTimes) => number): number => pairs.reduce((total, pair) => total + of(pair), 0);
  return ratiosOf(
    sum((pair) => pair.originalMs),
    sum((pair) => pair.gatedMs),
    sum((pair) => pair.flopsShare) / pairs.length,
  );
}

/** Speed-up, FLOPs reduction and efficiency of `blocks.count` blocks, chosen by `draw`. */
function ratios(blocks: Blocks, draw: (turn: number) => number) {
  let [originalMs, gatedMs, flopsShare, pairs] = [0, 0, 0, 0];
  for (let turn = 0; turn < blocks.count; turn++) {
    const block = draw(turn);
    originalMs += blocks.originalMs[block]!;
    gatedMs += blocks.gatedMs[block]!;
    flopsShare += blocks.flopsShare[block]!;
    pairs += blocks.pairs[block]!;
  }
  return ratiosOf(originalMs, gatedMs, flopsShare / pairs);
}

/** @param flopsShare mean over the pairs */
function ratiosOf(originalMs: number, gatedMs: number, flopsShare: number) {
  const speedUp = 1 - gatedMs / originalMs;
  const flopsReduction = 1 - flopsShare;
  return { speedUp, flopsReduction, efficiency: flopsReduction > 0 ? speedUp / flopsReduction : null };
}
