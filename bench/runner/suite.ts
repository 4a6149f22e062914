import type { Benchmark } from './types.js';

/** Every benchmark, in the order in which they run; loaded when it is asked for. */
const suite: Readonly<Record<string, () => Promise<{ readonly benchmark: Benchmark }>>> = {
  extraction: () => import('../suite/extraction.js'),
  hinge: () => import('../suite/hinge.js'),
  'cross-entropy': () => import('../suite/cross-entropy.js'),
  thresholds: () => import('../suite/thresholds.js'),
  dynamic: () => import('../suite/dynamic.js'),
  efficiency: () => import('../suite/efficiency.js'),
  warm: () => import('../suite/warm.js'),
  memory: () => import('../suite/memory.js'),
  cold: () => import('../suite/cold.js'),
  growth: () => import('../suite/growth.js'),
  training: () => import('../suite/training.js'),
  rivals: () => import('../suite/rivals.js'),
  disk: () => import('../suite/disk.js'),
};

export const benchmarkNames: readonly string[] = Object.keys(suite);

export async function loadBenchmark(name: string): Promise<Benchmark> {
  const load = suite[name];
  if (load === undefined) throw new Error(`no benchmark ${name}`);
  return (await load()).benchmark;
}
