import { median } from '../statistics/moments.js';
import { type Clock, timed } from './clock.js';

/** When a warm-up ends. */
export interface WarmUpBounds {
  /** Runs whose median is compared with that of as many runs before; fewer where two windows would not fit into `maxMs`. */
  readonly window: number;
  /** As few as that, where runs are long. */
  readonly leastWindow: number;
  /** Stable: the medians of two windows differ by at most this share. */
  readonly tolerance: number;
  readonly maxRuns: number;
  readonly maxMs: number;
}

export const warmUpBounds: WarmUpBounds = { window: 10, leastWindow: 3, tolerance: 0.05, maxRuns: 200, maxMs: 10_000 };

export interface WarmUp {
  /** Runs of each work, at least. */
  readonly runs: number;
  readonly ms: number;
  /** Whether the times had settled when the warm-up ended, or one of its bounds ended it. */
  readonly stable: boolean;
  /** Median of each work's last runs. */
  readonly medianMs: readonly number[];
}

/**
 * Runs every work, a window of runs of each in turn, until the times of each have settled, or a bound is reached. Each
 * runs at least once. A first run may open a session and compile: what it takes beyond the second does not count towards
 * the time, and how many runs a window has is decided by the first work's second run.
 */
export async function warmUp(
  clock: Clock,
  works: readonly (() => Promise<unknown>)[],
  bounds: WarmUpBounds = warmUpBounds,
): Promise<WarmUp> {
  const { tolerance, maxRuns, maxMs } = bounds;
  let { window } = bounds;
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
        if (index === 0 && list.length === 2) window = windowOf(list[1]!, works.length, bounds);
      }
    }
    stable = windows > 1 && !isOver() && times.every(settled);
  }
  const runs = Math.min(...times.map((list) => list.length));
  return { runs, ms: clock() - start, stable, medianMs: times.map((list) => latest(list)) };
}

/** Runs of a window such that two windows of each work fit into the time, if that is neither too few nor too many. */
function windowOf(ms: number, works: number, { window, leastWindow, maxMs }: WarmUpBounds): number {
  return Math.max(Math.min(leastWindow, window), Math.min(window, Math.floor(maxMs / (2 * works * ms))));
}
