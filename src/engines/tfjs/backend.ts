import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus } from 'node:os';
import util from 'node:util';
import type * as tfjs from '@tensorflow/tfjs';
import { messageOf } from '../../errors.js';
import { installedVersion } from '../../store/code.js';
import { computeInFloat32, EngineUnavailable, noGraphicsDriver } from '../engine.js';

export const tfjsIds = ['tfjs-node', 'tfjs-webgpu', 'tfjs-wasm', 'tfjs-cpu'] as const;
export type TfjsId = (typeof tfjsIds)[number];

export type TensorFlow = typeof tfjs;

/** TensorFlow.js with one of its backends ready; `isNode`: TensorFlow's own kernels, through tfjs-node-gpu or tfjs-node. */
export type TensorFlowBackend = Awaited<ReturnType<typeof start>>;

interface Loaded {
  readonly tf: TensorFlow;
  /** The backend's name in TensorFlow.js. */
  readonly backend: string;
  readonly device: string;
  readonly versions: Readonly<Record<string, string>>;
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
  const promise = loading.get(id) ?? start(id);
  loading.set(id, promise);
  return promise;
}

async function start(id: TfjsId) {
  const { tf, backend, versions, device } = await load[id]();
  tf.enableProdMode(); // no advice on the console to install other backends
  /** Makes this backend the current one of the process. */
  const activate = async (): Promise<void> => {
    if (tf.getBackend() !== backend && !(await tf.setBackend(backend))) {
      throw new EngineUnavailable(id, `TensorFlow.js could not start its backend ${backend}`, 'dgate doctor');
    }
    await tf.ready();
  };
  await activate();
  return { tf, id, device, versions, isNode: id === 'tfjs-node', activate };
}

/** Loads a package. @param what it is, for the message @throws EngineUnavailable */
async function loadPackage<T>(id: TfjsId, what: string, load: () => T | Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw new EngineUnavailable(id, `${what} does not load: ${messageOf(error).split('\n')[0]}`, 'npm ci');
  }
}

/** Loads the whole package: tfjs-core alone registers no gradients and kernels. @param name of its backend's package */
async function loadCore(id: TfjsId, backend: string, name?: string): Promise<Loaded> {
  const tf = require('@tensorflow/tfjs') as TensorFlow;
  if (name !== undefined) await loadPackage(id, name, () => require(name));
  return { tf, backend, device: cpuName(), versions: { '@tensorflow/tfjs': tf.version.tfjs } };
}

const load: Readonly<Record<TfjsId, () => Promise<Loaded>>> = {
  'tfjs-node': async () => loadNodeBackend(),
  'tfjs-webgpu': async () => {
    const device = await openWebGpu();
    const core = await loadCore('tfjs-webgpu', 'webgpu', '@tensorflow/tfjs-backend-webgpu');
    return { ...core, versions: { ...core.versions, webgpu: installedVersion('webgpu')! }, device };
  },
  'tfjs-wasm': () => loadCore('tfjs-wasm', 'wasm', '@tensorflow/tfjs-backend-wasm'),
  'tfjs-cpu': () => loadCore('tfjs-cpu', 'cpu'),
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

export const installedNodePackages = () => nodePackages.filter((name) => installedVersion(name) !== null);

export const installCommand = (name: string = nodePackages[0]): string => `npm install --ignore-scripts ${name}@4.22.0`;

/** Loads tfjs-node-gpu or tfjs-node. @throws EngineUnavailable */
function loadNodeBackend(): Loaded {
  const installed = installedNodePackages();
  if (installed.length === 0) {
    throw new EngineUnavailable('tfjs-node', `${nodePackages.join(' or ')} is not installed`, installCommand());
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
      return {
        tf,
        backend: 'tensorflow',
        versions: { [name]: installedVersion(name)!, libtensorflow: backend.binding.TF_Version },
        device: backend.isUsingGpuDevice ? 'CUDA GPU' : cpuName(),
      };
    } catch (error) {
      reasons.push(`${name} does not load: ${messageOf(error).trim().split('\n')[0]}`);
    }
  }
  throw new EngineUnavailable('tfjs-node', reasons.join('; '), 'dgate doctor --setup tfjs-node');
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
 * one, TensorFlow.js would silently use another backend. @returns the device in words
 */
async function openWebGpu(): Promise<string> {
  const { create, globals } = await loadPackage('tfjs-webgpu', 'the npm package webgpu', () => import('webgpu'));
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
  return [vendor, architecture, description].filter(Boolean).join(' ');
}
