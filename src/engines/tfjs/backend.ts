import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import type * as tfjs from '@tensorflow/tfjs';
import { messageOf } from '../../errors.js';
import { EngineUnavailable } from '../unavailable.js';
import { loadNodeBackend } from './node.js';
import { openWebGpu } from './webgpu.js';

export const tfjsIds = ['tfjs-node', 'tfjs-webgpu', 'tfjs-wasm', 'tfjs-cpu'] as const;
export type TfjsId = (typeof tfjsIds)[number];

/** TensorFlow.js, from whichever package. */
export type TensorFlow = typeof tfjs;

/** TensorFlow.js with one of its backends ready. */
export interface TensorFlowBackend {
  readonly tf: TensorFlow;
  readonly id: TfjsId;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
  /** TensorFlow's own kernels, through tfjs-node-gpu or tfjs-node. */
  readonly isNode: boolean;
  /** Makes this backend the current one: TensorFlow.js has one at a time in a process. */
  activate(): Promise<void>;
}

/** A loaded backend. */
interface Loaded {
  readonly tf: TensorFlow;
  /** The backend's name in TensorFlow.js. */
  readonly backend: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Called once the backend runs. */
  device(): string;
}

const require = createRequire(import.meta.url);
const loading = new Map<TfjsId, Promise<TensorFlowBackend>>();

/**
 * Loads TensorFlow.js, and of its backends only the one that the engine needs. All engines of a process share one
 * TensorFlow.js: with several loaded, call `activate()` before work that follows an `await`.
 *
 * @throws EngineUnavailable with one line: why the engine does not work on this machine, and how to fix it
 */
export function loadTensorFlow(id: TfjsId): Promise<TensorFlowBackend> {
  let promise = loading.get(id);
  if (promise === undefined) {
    promise = start(id);
    loading.set(id, promise);
  }
  return promise;
}

async function start(id: TfjsId): Promise<TensorFlowBackend> {
  const { tf, backend, versions, device } = await load[id]();
  tf.enableProdMode(); // no advice on the console to install other backends
  const activate = async (): Promise<void> => {
    if (tf.getBackend() !== backend && !(await tf.setBackend(backend))) {
      throw new EngineUnavailable(id, `TensorFlow.js could not start its backend ${backend}`, 'dgate doctor');
    }
    await tf.ready();
  };
  await activate();
  return { tf, id, device: device(), versions, isNode: id === 'tfjs-node', activate };
}

const load: Readonly<Record<TfjsId, () => Promise<Loaded>>> = {
  'tfjs-node': async () => {
    const { tf, versions, isGpu } = loadNodeBackend();
    return { tf, backend: 'tensorflow', versions, device: () => (isGpu() ? 'CUDA GPU' : cpuName()) };
  },
  'tfjs-webgpu': async () => {
    const { device, version } = await openWebGpu();
    const tf = loadCore();
    requireBackend('tfjs-webgpu', '@tensorflow/tfjs-backend-webgpu');
    return { tf, backend: 'webgpu', versions: { '@tensorflow/tfjs': tf.version.tfjs, webgpu: version }, device };
  },
  'tfjs-wasm': async () => {
    const tf = loadCore();
    requireBackend('tfjs-wasm', '@tensorflow/tfjs-backend-wasm');
    return { tf, backend: 'wasm', versions: { '@tensorflow/tfjs': tf.version.tfjs }, device: cpuName };
  },
  'tfjs-cpu': async () => {
    const tf = loadCore();
    return { tf, backend: 'cpu', versions: { '@tensorflow/tfjs': tf.version.tfjs }, device: cpuName };
  },
};

/** The whole package, not only tfjs-core: it registers gradients and kernels. */
function loadCore(): typeof tfjs {
  return require('@tensorflow/tfjs') as typeof tfjs;
}

function requireBackend(id: TfjsId, name: string): void {
  try {
    require(name);
  } catch (error) {
    throw new EngineUnavailable(id, `${name} does not load: ${messageOf(error).split('\n')[0]}`, 'npm ci');
  }
}

function cpuName(): string {
  return cpus()[0]?.model.trim() ?? 'CPU';
}
