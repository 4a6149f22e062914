import { Random } from '../random.js';
import { type Interval, mean, median, nearestRank, percentileInterval } from '../statistics/intervals.js';

/** One run of each network on the same images. */
export interface PairTimes {
  readonly originalMs: number;
  readonly gatedMs: number;
  /** FLOPs of the gated network on these images / the original's. */
  readonly flopsShare: number;
  /** Pairs of one turn are measured together, consecutively. */
  readonly turn: number;
}

export interface Estimate {
  /** The paper's Speed-up, 1 - t/t0, on all images. */
  readonly speedUp: number;
  readonly speedUpInterval: Interval;
  /** 1 - F/F0 on all images. */
  readonly flopsReduction: number;
  /** (1 - t/t0) / (1 - F/F0); null if no FLOPs are saved. */
  readonly efficiency: number | null;
  readonly efficiencyInterval: Interval | null;
}

const RESAMPLES = 2000;
/** Most blocks to resample; a block is one turn, or several consecutive ones. */
const BLOCKS = 500;

/**
 * Speed-up and efficiency with 95 % intervals by a paired block bootstrap: whole turns are drawn with replacement, because
 * neighbouring times are correlated.
 *
 * The FLOPs of all images are known, those that were timed are a sample. So the gated network's time is moved along its regression
 * on the FLOPs from the timed images' mean to that of all (a regression estimator; Cochran, Sampling Techniques, chapter 7). Which
 * images were timed would otherwise be most of the variation.
 *
 * @param share FLOPs of the gated network / the original's, over all images
 * @throws RangeError without pairs
 */
export function estimate(pairs: readonly PairTimes[], share: number, seed: number): Estimate {
  if (pairs.length === 0) throw new RangeError('no pairs');
  const blocks = blocksOf(pairs, ofAll(pairs, share));
  const random = new Random(seed, 'timing');
  const speedUps = Array.from({ length: RESAMPLES }, () => {
    let [t0, t] = [0, 0];
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[random.below(blocks.length)]!;
      t0 += block.t0;
      t += block.t;
    }
    return 1 - t / t0;
  });
  return estimateOf(speedUpOf(pairs, share), percentileInterval(speedUps, 0.95), share);
}

/** @param share as for `estimate` */
export function estimateOf(speedUp: number, speedUpInterval: Interval, share: number): Estimate {
  const flopsReduction = 1 - share;
  const { low, high } = speedUpInterval;
  const saves = flopsReduction > 0;
  return {
    speedUp,
    speedUpInterval,
    flopsReduction,
    efficiency: saves ? speedUp / flopsReduction : null,
    efficiencyInterval: saves ? { low: low / flopsReduction, high: high / flopsReduction } : null,
  };
}

function blocksOf(pairs: readonly PairTimes[], gatedMs: readonly number[]) {
  const first = pairs[0]!.turn;
  const turns = pairs.at(-1)!.turn - first + 1;
  const blocks = Array.from({ length: Math.min(BLOCKS, turns) }, () => ({ t0: 0, t: 0 }));
  for (const [i, { turn, originalMs }] of pairs.entries()) {
    const block = blocks[Math.floor(((turn - first) * blocks.length) / turns)]!;
    block.t0 += originalMs;
    block.t += gatedMs[i]!;
  }
  return blocks;
}

/** The speed-up over all pairs. @param share as for `estimate` */
export function speedUpOf(pairs: readonly PairTimes[], share: number): number {
  return 1 - mean(ofAll(pairs, share)) / mean(pairs.map(({ originalMs }) => originalMs));
}

/** Fewest pairs whose regression is known well enough to move times along it; those of fewer are proportional to the FLOPs. */
const LEAST_FOR_REGRESSION = 15;

/** The gated network's times, moved along their regression on the FLOPs to this share. */
function ofAll(pairs: readonly PairTimes[], share: number): number[] {
  const [t, f] = [mean(pairs.map(({ gatedMs }) => gatedMs)), mean(pairs.map(({ flopsShare }) => flopsShare))];
  const sum = (of: (pair: PairTimes) => number): number => pairs.reduce((total, pair) => total + of(pair), 0);
  const spread = sum(({ flopsShare }) => (flopsShare - f) ** 2);
  const together = sum(({ flopsShare, gatedMs }) => (flopsShare - f) * (gatedMs - t));
  const known = spread > 1e-12 * pairs.length ? together / spread : 0;
  const slope = pairs.length < LEAST_FOR_REGRESSION ? t / f : known;
  return pairs.map(({ gatedMs, flopsShare }) => gatedMs + slope * (share - flopsShare));
}

/** Summary of times, in milliseconds. */
export interface TimeSummary {
  readonly mean: number;
  readonly median: number;
  /** The smallest time that at least 90 % of the times do not exceed (nearest rank, as in MLPerf). */
  readonly p90: number;
  readonly least: number;
}

/** @throws RangeError for an empty list */
export function summarise(values: readonly number[]): TimeSummary {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) throw new RangeError('no times');
  return { mean: mean(values), median: median(values), p90: nearestRank(sorted, 0.9), least: sorted[0]! };
}

/** Times and throughput of pairs of batches. @param batch images of one */
export function summarisePairs(pairs: readonly PairTimes[], batch: number) {
  const originalMs = summarise(pairs.map((pair) => pair.originalMs));
  const gatedMs = summarise(pairs.map((pair) => pair.gatedMs));
  return {
    pairs: pairs.length,
    images: pairs.length * batch,
    originalMs,
    gatedMs,
    originalImagesPerSecond: (1000 * batch) / originalMs.mean,
    gatedImagesPerSecond: (1000 * batch) / gatedMs.mean,
  };
}

/** A value above its bound, or NaN, causes a warning. */
const noiseBounds = {
  /** Width of the 95 % interval of t/t0. */
  intervalWidth: 0.06,
  /** 90th percentile over median of the original network. */
  spread: 1.25,
  /** Relative difference of the original network's medians in the two halves. */
  drift: 0.1,
  /** Difference of t/t0 between the two halves. */
  halves: 0.02,
  /** Share of the processors that other programs kept busy. */
  others: 0.1,
  /** Load per core; the networks themselves cause about 1. */
  load: 1.25,
};

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** A warning if the speed-up of all repeats together is known too roughly. */
export function widthWarnings({ speedUpInterval: { low, high } }: Estimate): string[] {
  if (high - low <= noiseBounds.intervalWidth) return [];
  const known = `${(1 - high).toFixed(3)} and ${(1 - low).toFixed(3)}`;
  return [`t/t0 is only known between ${known}: time more images or repeats`];
}

/** Reasons not to trust the times of one process, one line each. @param pairs in the order of measurement */
export function noiseWarnings(pairs: readonly PairTimes[], share: number, seed: number): string[] {
  const { p90, median: usual } = summarise(pairs.map(({ originalMs }) => originalMs));
  const noisy =
    `the machine is noisy: the original network does the same work every time, yet its 90th percentile ` +
    `(${p90.toPrecision(3)} ms) is ${(p90 / usual).toFixed(2)} times its median (${usual.toPrecision(3)} ms)`;
  return [...(p90 / usual <= noiseBounds.spread ? [] : [noisy]), ...halvesWarnings(pairs, share, seed)];
}

function halvesWarnings(pairs: readonly PairTimes[], share: number, seed: number): string[] {
  const half = pairs.length >> 1;
  if (half < 2) return [];
  const halves = [pairs.slice(0, half), pairs.slice(half)] as const;
  const [early, late] = halves.map((part) => median(part.map(({ originalMs }) => originalMs))) as [number, number];
  const warnings: string[] = [];
  if (!(Math.abs(late / early - 1) <= noiseBounds.drift)) {
    warnings.push(
      `the machine changed its pace: the original network's median is ${early.toPrecision(3)} ms in the first half of ` +
        `the run and ${late.toPrecision(3)} ms in the second`,
    );
  }
  const [a, b] = halves.map((part) => estimate(part, share, seed)) as [Estimate, Estimate];
  const overlap = a.speedUpInterval.high >= b.speedUpInterval.low && b.speedUpInterval.high >= a.speedUpInterval.low;
  if (!overlap && !(Math.abs(a.speedUp - b.speedUp) <= noiseBounds.halves)) {
    warnings.push(
      `the two halves of the run disagree: speed-up ${percent(a.speedUp)} in the first, ${percent(b.speedUp)} in the second`,
    );
  }
  return warnings;
}

/** Load of the machine while the networks were timed. */
export interface Surroundings {
  readonly cores: number;
  /** The machine's load average over one minute. */
  readonly loadBefore: number;
  readonly loadAfter: number;
  /** Share of the processors that other programs kept busy; null if this process may not use all of them. */
  readonly othersShare: number | null;
}

/** Signs that other programs used the machine, one line each. */
export function surroundingsWarnings({ cores, loadBefore, loadAfter, othersShare }: Surroundings): string[] {
  const load = Math.max(loadBefore, loadAfter);
  const warnings: string[] = [];
  if (!(load <= noiseBounds.load * cores)) {
    warnings.push(`the machine is busy: its load over the last minute was ${load.toFixed(1)} on ${cores} cores`);
  }
  if (othersShare !== null && !(othersShare <= noiseBounds.others)) {
    warnings.push(`other programs kept ${percent(othersShare)} of the processors busy while the networks were timed`);
  }
  return warnings;
}
