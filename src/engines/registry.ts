import { InputError } from '../errors.js';
import type { Engine } from './engine.js';

/** An engine as it is known before it is loaded. */
export interface EngineEntry {
  readonly id: string;
  readonly description: string;
  /** Arithmetic of features and logits; part of the cache key. */
  readonly precision: 'float32';
}

const engines: readonly (EngineEntry & { readonly create: () => Promise<Engine> })[] = [
  {
    id: 'ort-cpu',
    description: 'ONNX Runtime on the CPU, all cores',
    precision: 'float32',
    create: async () => (await import('./onnxruntime/engine.js')).OnnxRuntimeCpu.create(),
  },
];

/** Every engine. */
export function listEngines(): readonly EngineEntry[] {
  return engines;
}

/** The engine of this id; `auto` is the first that works here. @throws InputError with the valid ids */
export function engineNamed(id: string): EngineEntry {
  const engine = engines.find((candidate) => id === 'auto' || candidate.id === id);
  if (engine === undefined) {
    const valid = ['auto', ...engines.map((known) => known.id)];
    throw new InputError(`engine ${id}: unknown; valid: ${valid.join(', ')}`);
  }
  return engine;
}

/** Loads an engine. @throws InputError with the valid ids */
export async function createEngine(id: string): Promise<Engine> {
  const { id: known } = engineNamed(id);
  return engines.find((engine) => engine.id === known)!.create();
}
