import { median } from '../statistics/moments.js';
import { type Estimate, estimate, type PairTimes } from './estimate.js';
import type { Surroundings } from './machine.js';
import { summarise } from './summary.js';

/** Bounds of a trustworthy measurement; one outside them, or NaN, causes a warning. */
const noiseBounds = {
  /** Width of the 95 % interval of t/t0. */
  intervalWidth: 0.06,
  /** 90th percentile over median of the original network, whose work is the same every time. */
  spread: 1.25,
  /** Difference of the original network's medians in the two halves of the run, as a share. */
  drift: 0.1,
  /** Difference of t/t0 between the two halves that is ignored. */
  halves: 0.02,
  /** Share of the processors that other programs kept busy during the timing. */
  others: 0.1,
  /** Load over the number of cores: the networks keep all cores busy, so slightly more than 1 is expected. */
  load: 1.25,
};

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Whether the speed-up is known well enough, all repeats together: a line if not. */
export function widthWarnings({ speedUpInterval: { low, high } }: Estimate): string[] {
  if (high - low <= noiseBounds.intervalWidth) return [];
  const known = `${(1 - high).toFixed(3)} and ${(1 - low).toFixed(3)}`;
  return [`t/t0 is only known between ${known}: time more images or repeats`];
}

/**
 * Reasons not to trust the times of one process, one line each; none if the machine was quiet enough.
 *
 * @param pairs in the order of measurement
 */
export function noiseWarnings(pairs: readonly PairTimes[], seed: number): string[] {
  const warnings: string[] = [];
  const { p90, median: usual } = summarise(pairs.map(({ originalMs }) => originalMs));
  if (!(p90 / usual <= noiseBounds.spread)) {
    warnings.push(
      `the machine is noisy: the original network does the same work every time, yet its 90th percentile ` +
        `(${p90.toPrecision(3)} ms) is ${(p90 / usual).toFixed(2)} times its median (${usual.toPrecision(3)} ms)`,
    );
  }
  return [...warnings, ...halvesWarnings(pairs, seed)];
}

function halvesWarnings(pairs: readonly PairTimes[], seed: number): string[] {
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
  const [a, b] = halves.map((part) => estimate(part, seed)) as [Estimate, Estimate];
  const overlap = a.speedUpInterval.high >= b.speedUpInterval.low && b.speedUpInterval.high >= a.speedUpInterval.low;
  if (!overlap && !(Math.abs(a.speedUp - b.speedUp) <= noiseBounds.halves)) {
    warnings.push(
      `the two halves of the run disagree: speed-up ${percent(a.speedUp)} in the first, ${percent(b.speedUp)} in the second`,
    );
  }
  return warnings;
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
