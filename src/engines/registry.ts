import { InputError } from '../errors.js';
import type { Engine } from './engine.js';
import type { TfjsId } from './tfjs/backend.js';

/** An engine's description, available before it is loaded. */
export interface EngineEntry {
  readonly id: string;
  readonly description: string;
  /** Arithmetic of features and logits; part of the cache key. */
  readonly precision: 'float32';
  /** The device it computes on, if the machine has one. A GPU needs larger batches to be busy. */
  readonly device: 'cpu' | 'gpu';
  /** Its module below `src`: part of the identity of its results. */
  readonly module: string;
}

/**
 * `auto` is always the first: ONNX Runtime on the CPU works on every machine, while probing the others costs seconds and can
 * end the process. It is not always the fastest: `dgate doctor` and bench/engines.ts measure all of them. On a machine with
 * a GPU, or with tfjs-node set up, name the engine.
 */
const engines: readonly (EngineEntry & { readonly create: () => Promise<Engine> })[] = [
  {
    id: 'ort-cpu',
    description: 'ONNX Runtime on the CPU, all cores',
    precision: 'float32',
    device: 'cpu',
    module: 'engines/onnxruntime/engine',
    create: async () => (await import('./onnxruntime/engine.js')).OnnxRuntimeCpu.create(),
  },
  {
    id: 'ort-webgpu',
    description: 'ONNX Runtime on any GPU with a Vulkan, Metal or D3D driver',
    precision: 'float32',
    device: 'gpu',
    module: 'engines/onnxruntime/gpu',
    create: async () => (await import('./onnxruntime/gpu.js')).OnnxRuntimeWebGpu.create(),
  },
  {
    id: 'ort-cuda',
    description: 'ONNX Runtime on CUDA 12 or 13, its libraries installed separately',
    precision: 'float32',
    device: 'gpu',
    module: 'engines/onnxruntime/gpu',
    create: async () => (await import('./onnxruntime/gpu.js')).OnnxRuntimeCuda.create(),
  },
  {
    id: 'tfjs-node',
    description: "TensorFlow's own kernels: CUDA where there is a GPU, otherwise CPU (dgate doctor --setup tfjs-node)",
    precision: 'float32',
    device: 'gpu',
    module: 'engines/tfjs/engine',
    create: () => tensorFlow('tfjs-node'),
  },
  {
    id: 'tfjs-webgpu',
    description: 'TensorFlow.js on any GPU with a Vulkan, Metal or D3D driver',
    precision: 'float32',
    device: 'gpu',
    module: 'engines/tfjs/engine',
    create: () => tensorFlow('tfjs-webgpu'),
  },
  {
    id: 'tfjs-wasm',
    description: 'TensorFlow.js in WebAssembly, one thread',
    precision: 'float32',
    device: 'cpu',
    module: 'engines/tfjs/engine',
    create: () => tensorFlow('tfjs-wasm'),
  },
  {
    id: 'tfjs-cpu',
    description: 'TensorFlow.js in plain JavaScript: slow, needs nothing',
    precision: 'float32',
    device: 'cpu',
    module: 'engines/tfjs/engine',
    create: () => tensorFlow('tfjs-cpu'),
  },
];

async function tensorFlow(id: TfjsId): Promise<Engine> {
  return (await import('./tfjs/engine.js')).TensorFlowEngine.create(id);
}

/** Every engine. */
export function listEngines(): readonly EngineEntry[] {
  return engines;
}

/** The engine of this id; `auto` is `ort-cpu`. @throws InputError with the valid ids */
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
