import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Runs after the first, where that takes longer than it may. */
const MORE_RUNS = 3;

/**
 * Milliseconds of processor time that some work takes in this process, all threads together. How busy the machine is hardly
 * changes it, so tests bound this and never the time of the clock. Where it is more than `most`, the garbage of what ran before
 * may have been collected meanwhile: it is collected, and the work done again; the least counts.
 */
export async function processorMs(work: () => unknown, most = Number.POSITIVE_INFINITY): Promise<number> {
  let least = await once(work);
  for (let again = 0; again < MORE_RUNS && least >= most; again++) {
    collectAll();
    least = Math.min(least, await once(work));
  }
  return least;
}

async function once(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Frees all that JavaScript has stopped using. */
export function collectAll(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
