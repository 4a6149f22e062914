/**
 * Milliseconds of processor time that some work takes in this process, all threads together. How busy the machine is does
 * not change it, so tests bound this and never the time of the clock.
 */
export async function processorMs(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
