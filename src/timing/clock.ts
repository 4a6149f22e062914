/** Milliseconds since some fixed moment; never decreases. Tests inject a fake. */
export type Clock = () => number;

const origin = process.hrtime.bigint();

/**
 * The machine's monotonic clock, read in nanoseconds and returned in milliseconds; unaffected by changes of the time of
 * day.
 */
export const monotonicClock: Clock = () => Number(process.hrtime.bigint() - origin) / 1e6;

/** Times some work. Its promise must resolve only when the work has ended, on the device too. */
export async function timed<T>(
  clock: Clock,
  work: () => Promise<T>,
): Promise<{ readonly ms: number; readonly result: T }> {
  const start = clock();
  const result = await work();
  return { ms: clock() - start, result };
}
