import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import util from 'node:util';
import type * as tfjs from '@tensorflow/tfjs';
import { messageOf } from '../../errors.js';
import { computeInFloat32, EngineUnavailable, noGraphicsDriver } from '../engine.js';

export const tfjsIds = ['tfjs-node', 'tfjs-webgpu', 'tfjs-wasm', 'tfjs-cpu'] as const;
export type TfjsId = (typeof tfjsIds)[number];

export type TensorFlow = typeof tfjs;

/** TensorFlow.js with one of its backends ready. */
export interface TensorFlowBackend {
  readonly tf: TensorFlow;
  readonly id: TfjsId;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
  /** TensorFlow's own kernels, through tfjs-node-gpu or tfjs-node. */
  readonly isNode: boolean;
  /** Makes this backend the current one of the process. */
  activate(): Promise<void>;
}

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
 * Loads TensorFlow.js with the backend of an engine. All engines of a process share one TensorFlow.js: with several loaded,
 * call `activate()` before work that follows an `await`.
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

/** Loads the whole package: tfjs-core alone registers no gradients and kernels. @param name of its backend's package */
function loadCore(id: TfjsId, backend: string, name?: string): Omit<Loaded, 'device'> {
  const tf = require('@tensorflow/tfjs') as TensorFlow;
  try {
    if (name !== undefined) require(name);
  } catch (error) {
    throw new EngineUnavailable(id, `${name} does not load: ${messageOf(error).split('\n')[0]}`, 'npm ci');
  }
  return { tf, backend, versions: { '@tensorflow/tfjs': tf.version.tfjs } };
}

const load: Readonly<Record<TfjsId, () => Promise<Loaded>>> = {
  'tfjs-node': async () => loadNodeBackend(),
  'tfjs-webgpu': async () => {
    const { device, version } = await openWebGpu();
    const core = loadCore('tfjs-webgpu', 'webgpu', '@tensorflow/tfjs-backend-webgpu');
    return { ...core, versions: { ...core.versions, webgpu: version }, device };
  },
  'tfjs-wasm': async () => ({ ...loadCore('tfjs-wasm', 'wasm', '@tensorflow/tfjs-backend-wasm'), device: cpuName }),
  'tfjs-cpu': async () => ({ ...loadCore('tfjs-cpu', 'cpu'), device: cpuName }),
};

function cpuName(): string {
  return cpus()[0]?.model.trim() ?? 'CPU';
}

/** The part of tfjs-node's backend that TensorFlow.js' interface lacks. */
interface NodeKernelBackend {
  readonly isUsingGpuDevice: boolean;
  readonly binding: { readonly TF_Version: string };
}

/** The optional dependency, and the one that a user may have installed instead. */
export const nodePackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/** Loads tfjs-node-gpu or tfjs-node. @throws EngineUnavailable */
function loadNodeBackend(): Loaded {
  const installed = nodePackages.filter((name) => resolves(`${name}/package.json`));
  if (installed.length === 0) {
    const command = `npm install --ignore-scripts ${nodePackages[0]}@4.22.0`;
    throw new EngineUnavailable('tfjs-node', `${nodePackages.join(' or ')} is not installed`, command);
  }
  // Hide messages about the processor and missing CUDA libraries.
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  computeInFloat32();
  const reasons: string[] = [];
  for (const name of installed) {
    const binding = addonPath(name);
    if (!existsSync(binding)) {
      reasons.push(`${name} has no compiled addon`);
      continue;
    }
    try {
      restoreRemovedUtil();
      const tf = require(name) as TensorFlow;
      const backend = tf.backend() as unknown as NodeKernelBackend;
      const { version } = require(`${name}/package.json`) as { version: string };
      return {
        tf,
        backend: 'tensorflow',
        versions: { [name]: version, libtensorflow: backend.binding.TF_Version },
        device: () => (backend.isUsingGpuDevice ? 'CUDA GPU' : cpuName()),
      };
    } catch (error) {
      reasons.push(`${name} does not load: ${messageOf(error).trim().split('\n')[0]}`);
    }
  }
  throw new EngineUnavailable('tfjs-node', reasons.join('; '), 'dgate doctor --setup tfjs-node');
}

function resolves(path: string): boolean {
  try {
    require.resolve(path);
    return true;
  } catch {
    return false;
  }
}

/** The file that a package loads as its addon. */
function addonPath(name: string): string {
  const file = require.resolve(`${name}/package.json`);
  const { find } = createRequire(file)('@mapbox/node-pre-gyp') as { find(packageFile: string): string };
  return find(file);
}

/** Functions of `util` that tfjs-node 4.22 calls and Node 23 removed. */
const removed = {
  isArray: Array.isArray,
  isNullOrUndefined: (value: unknown): value is null | undefined => value === null || value === undefined,
};

/** Restores missing functions of `util` for tfjs-node. @param into in tests, another object */
export function restoreRemovedUtil(into: object = util): void {
  for (const [name, value] of Object.entries(removed)) {
    if (!(name in into)) Object.defineProperty(into, name, { value, configurable: true });
  }
}

/** Collecting these native objects while the device works can crash the process. */
const alive: unknown[] = [];

/**
 * Sets `navigator.gpu` for TensorFlow.js' WebGPU backend, from the npm package `webgpu`. Requests an adapter first: without
 * one, TensorFlow.js would silently use another backend.
 *
 * @throws EngineUnavailable
 */
async function openWebGpu(): Promise<{ device: () => string; version: string }> {
  const { create, globals } = await importWebGpu();
  Object.assign(globalThis, globals); // GPUBufferUsage, GPUMapMode, ...
  const gpu = create([]);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  alive.push(gpu, adapter);
  if (adapter === null) throw noGraphicsDriver('tfjs-webgpu');
  // Node 20 has no navigator; later ones have it read-only.
  const scope = globalThis as { navigator?: object };
  if (scope.navigator === undefined) Object.defineProperty(scope, 'navigator', { value: {}, configurable: true });
  Object.defineProperty(scope.navigator, 'gpu', { value: gpu, configurable: true });
  const { vendor, architecture, description } = adapter.info;
  return { device: () => [vendor, architecture, description].filter(Boolean).join(' '), version: webGpuVersion() };
}

async function importWebGpu(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (error) {
    const reason = `the npm package webgpu does not load: ${messageOf(error).split('\n')[0]}`;
    throw new EngineUnavailable('tfjs-webgpu', reason, 'npm ci');
  }
}

function webGpuVersion(): string {
  const file = require.resolve('webgpu').replace(/index\.js$/, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
