import { median } from '../statistics/moments.js';
import { type Clock, timed } from './clock.js';

/** When a warm-up ends. */
interface WarmUpBounds {
  /** Runs whose median is compared with that of the previous window; fewer if two windows do not fit into `maxMs`. */
  readonly window: number;
  /** Fewest runs of a window, for long runs. */
  readonly leastWindow: number;
  /** Times are stable if the medians of two windows differ by at most this share. */
  readonly tolerance: number;
  readonly maxRuns: number;
  readonly maxMs: number;
}

const warmUpBounds: WarmUpBounds = { window: 10, leastWindow: 3, tolerance: 0.05, maxRuns: 200, maxMs: 10_000 };

export interface WarmUp {
  /** Fewest runs of any work. */
  readonly runs: number;
  readonly ms: number;
  /** Whether the times were stable at the end; if not, a bound ended the warm-up. */
  readonly stable: boolean;
  /** Median of each work's last runs. */
  readonly medianMs: readonly number[];
}

/**
 * Runs every work, a window of runs of each in turn, until all times are stable or a bound is reached; each runs at
 * least once. A first run may open a session and compile: its time beyond the second run's does not count towards
 * `maxMs`, and the second run of the first work decides the length of a window.
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

/** Runs of a window, so that two windows of each work fit into `maxMs`; within the bounds. */
function windowOf(ms: number, works: number, { window, leastWindow, maxMs }: WarmUpBounds): number {
  return Math.max(Math.min(leastWindow, window), Math.min(window, Math.floor(maxMs / (2 * works * ms))));
}
