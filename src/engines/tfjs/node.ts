import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import util from 'node:util';
import type * as tfjs from '@tensorflow/tfjs';
import { messageOf } from '../../errors.js';
import { computeInFloat32 } from '../float32.js';
import { EngineUnavailable } from '../unavailable.js';

/** TensorFlow.js on TensorFlow's own kernels. */
export interface NodeBackend {
  readonly tf: typeof tfjs;
  readonly versions: Readonly<Record<string, string>>;
  /** Whether TensorFlow found a GPU that it can use. */
  isGpu(): boolean;
}

/** The part of tfjs-node's backend that TensorFlow.js' interface lacks. */
interface NodeKernelBackend {
  readonly isUsingGpuDevice: boolean;
  readonly binding: { readonly TF_Version: string };
}

/** The optional dependency first; a tfjs-node that the user installed works too. */
export const nodePackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

const SETUP = 'dgate doctor --setup tfjs-node';
const require = createRequire(import.meta.url);

/** Loads tfjs-node-gpu or tfjs-node. @throws EngineUnavailable */
export function loadNodeBackend(): NodeBackend {
  const installed = nodePackages.filter((name) => resolves(`${name}/package.json`));
  if (installed.length === 0) {
    throw new EngineUnavailable(
      'tfjs-node',
      `${nodePackages.join(' or ')} is not installed`,
      `npm install --ignore-scripts ${nodePackages[0]}@4.22.0`,
    );
  }
  // The user cannot act on TensorFlow's messages about the processor and missing CUDA libraries.
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
      const tf = require(name) as typeof tfjs;
      const backend = tf.backend() as unknown as NodeKernelBackend;
      return {
        tf,
        versions: { [name]: versionOf(name), libtensorflow: backend.binding.TF_Version },
        isGpu: () => backend.isUsingGpuDevice,
      };
    } catch (error) {
      reasons.push(`${name} does not load: ${messageOf(error).trim().split('\n')[0]}`);
    }
  }
  throw new EngineUnavailable('tfjs-node', reasons.join('; '), SETUP);
}

function resolves(path: string): boolean {
  try {
    require.resolve(path);
    return true;
  } catch {
    return false;
  }
}

/** Where a package looks for its addon. */
function addonPath(name: string): string {
  const file = require.resolve(`${name}/package.json`);
  const { find } = createRequire(file)('@mapbox/node-pre-gyp') as { find(packageFile: string): string };
  return find(file);
}

function versionOf(name: string): string {
  return (require(`${name}/package.json`) as { version: string }).version;
}

/** Functions that tfjs-node 4.22 calls and Node 23 removed from `util`. */
const removed = {
  isArray: Array.isArray,
  isNullOrUndefined: (value: unknown): value is null | undefined => value === null || value === undefined,
};

/** Restores missing ones before tfjs-node is loaded. @param into in tests, another object */
export function restoreRemovedUtil(into: object = util): void {
  for (const [name, value] of Object.entries(removed)) {
    if (!(name in into)) Object.defineProperty(into, name, { value, configurable: true });
  }
}
