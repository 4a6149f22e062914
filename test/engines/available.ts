import type { Context } from 'mocha';
import type { Engine } from '../../src/engines/engine.js';
import { createEngine, type EngineEntry, listEngines } from '../../src/engines/registry.js';

/** Engines whose tests run in processes of their own (webgpu.test.ts): two of Dawn in one process end it. */
export const webGpuEngines = ['ort-webgpu', 'tfjs-webgpu'] as const;

/** The engines that this process tests. */
export function testedEngines(): readonly EngineEntry[] {
  const only = process.env['DGATE_TEST_ENGINE'];
  return listEngines().filter(({ id }) =>
    only === undefined ? !(webGpuEngines as readonly string[]).includes(id) : id === only,
  );
}

/** Loads an engine; where it does not work on this machine, the tests of the suite are skipped and say why. */
export async function engineOrSkip(context: Context, id: string): Promise<Engine> {
  try {
    return await createEngine(id);
  } catch (error) {
    // By name: mocha's loader can hold a module twice.
    if (id === 'ort-cpu' || !(error instanceof Error) || error.name !== 'InputError') throw error;
    process.stdout.write(`      skipped: ${error.message}\n`);
    return context.skip();
  }
}
