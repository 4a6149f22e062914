import { InputError } from '../errors.js';
import type { Progress } from '../progress.js';
import type { TrainingEngine } from '../training/state.js';
import type { Engine } from './engine.js';
import type { TfjsId } from './tfjs/backend.js';

/** An engine's description, available before it is loaded. */
export interface EngineEntry {
  readonly id: string;
  readonly description: string;
  /** Arithmetic of features and logits; part of the cache key. */
  readonly precision: 'float32';
  /** A GPU needs larger batches to be busy. */
  readonly device: 'cpu' | 'gpu';
  /** Its module below `src`: part of the identity of its results. */
  readonly module: string;
  readonly create: () => Promise<Engine>;
  /** Why it trains no networks. */
  readonly cannotTrain?: string;
}

type OnnxRuntimeClass = 'OnnxRuntimeCpu' | 'OnnxRuntimeWebGpu' | 'OnnxRuntimeCuda';

const onnxRuntime = (id: string, name: OnnxRuntimeClass, device: 'cpu' | 'gpu', description: string): EngineEntry => ({
  id,
  description,
  precision: 'float32',
  device,
  module: 'engines/onnxruntime/engine',
  create: async () => (await import('./onnxruntime/engine.js'))[name].create(),
  cannotTrain: 'ONNX Runtime in Node only runs networks',
});

const tensorFlow = (id: TfjsId, device: 'cpu' | 'gpu', description: string): EngineEntry => ({
  id,
  description,
  precision: 'float32',
  device,
  module: 'engines/tfjs/engine',
  create: async () => (await import('./tfjs/engine.js')).TensorFlowEngine.create(id),
});

/**
 * `auto` is always the first. It works on every machine; probing the others takes seconds and can crash the process. On a
 * machine with a GPU, or with tfjs-node set up, others may be faster: `dgate doctor` and bench/engines.ts measure them.
 */
const engines: readonly EngineEntry[] = [
  onnxRuntime('ort-cpu', 'OnnxRuntimeCpu', 'cpu', 'ONNX Runtime on the CPU, all cores'),
  onnxRuntime('ort-webgpu', 'OnnxRuntimeWebGpu', 'gpu', 'ONNX Runtime on any GPU with a Vulkan, Metal or D3D driver'),
  onnxRuntime(
    'ort-cuda',
    'OnnxRuntimeCuda',
    'gpu',
    'ONNX Runtime on CUDA 12 or 13, its libraries installed separately',
  ),
  tensorFlow(
    'tfjs-node',
    'gpu',
    "TensorFlow's own kernels: CUDA where there is a GPU, otherwise CPU (dgate doctor --setup tfjs-node)",
  ),
  tensorFlow('tfjs-webgpu', 'gpu', 'TensorFlow.js on any GPU with a Vulkan, Metal or D3D driver'),
  {
    ...tensorFlow('tfjs-wasm', 'cpu', 'TensorFlow.js in WebAssembly, one thread'),
    cannotTrain: "TensorFlow.js's WASM backend has no gradient of a convolution (Conv2DBackpropFilter)",
  },
  tensorFlow('tfjs-cpu', 'cpu', 'TensorFlow.js in plain JavaScript: slow, needs nothing'),
];

export const listEngines = (): readonly EngineEntry[] => engines;

/** Loads an engine. @throws InputError with the valid ids */
export const createEngine = async (id: string): Promise<Engine> => engineNamed(id).create();

/** The engine of this id; `auto` is `ort-cpu`. @throws InputError with the valid ids */
export function engineNamed(id: string): EngineEntry {
  const engine = engines.find((candidate) => id === 'auto' || candidate.id === id);
  if (engine !== undefined) return engine;
  throw new InputError(`engine ${id}: unknown; valid: ${['auto', ...engines.map((known) => known.id)].join(', ')}`);
}

const trainable = ['tfjs-node', 'tfjs-webgpu', 'tfjs-cpu'] as const;
type Trainable = (typeof trainable)[number];

/** Checks an engine's name before any work is done. @throws InputError if it cannot train */
export function checkTrainingEngine(id: string): 'auto' | Trainable {
  const found = (['auto', ...trainable] as const).find((name) => name === id);
  if (found !== undefined) return found;
  const reason = engines.find((engine) => engine.id === id)?.cannotTrain;
  const why = reason === undefined ? 'unknown' : `cannot train: ${reason}`;
  throw new InputError(`engine ${id}: ${why}; valid: auto, ${trainable.join(', ')}`);
}

/**
 * Loads an engine that trains; `auto` is the first of tfjs-node, tfjs-webgpu and tfjs-cpu that works here. Reports which
 * one, and why earlier ones do not work.
 *
 * @throws InputError if it does not work on this machine
 */
export async function trainingEngine(id: 'auto' | Trainable, progress: Progress): Promise<TrainingEngine> {
  const reasons: string[] = [];
  for (const candidate of id === 'auto' ? trainable : [id]) {
    try {
      const { loadTensorFlow } = await import('./tfjs/backend.js');
      const { tfjsTraining } = await import('./tfjs/training/trainer.js');
      const engine = tfjsTraining(await loadTensorFlow(candidate));
      const { device, threads, versions } = engine.describe();
      const version = Object.entries(versions).map(([name, value]) => `${name} ${value}`);
      for (const reason of reasons) progress.note(reason);
      progress.note(
        `engine: ${candidate} on ${device}, ${threads} thread${threads === 1 ? '' : 's'} (${version.join(', ')})`,
      );
      if (candidate === 'tfjs-cpu') progress.warn('tfjs-cpu is plain JavaScript, for tests and the smallest networks');
      return engine;
    } catch (error) {
      if (!(error instanceof InputError) || id !== 'auto') throw error;
      reasons.push(`not ${error.problems.join('; ')}`);
    }
  }
  throw new InputError(reasons);
}
