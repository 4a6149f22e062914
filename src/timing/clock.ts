/** Milliseconds since some fixed moment, never going back. Tests pass one of their own. */
export type Clock = () => number;

const origin = process.hrtime.bigint();

/** The machine's monotonic clock in nanoseconds, given in milliseconds: changes of the time of day do not touch it. */
export const monotonicClock: Clock = () => Number(process.hrtime.bigint() - origin) / 1e6;

/** Does some work and reads the clock before and after it. The work has ended, on the device too, when it resolves. */
export async function timed<T>(
  clock: Clock,
  work: () => Promise<T>,
): Promise<{ readonly ms: number; readonly result: T }> {
  const start = clock();
  const result = await work();
  return { ms: clock() - start, result };
}
