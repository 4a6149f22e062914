import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { messageOf } from '../../errors.js';
import { EngineUnavailable, noGraphicsDriver } from '../unavailable.js';

/** Kept for the life of the process: garbage-collecting these native objects while the device works can crash it. */
const alive: unknown[] = [];

/**
 * Gives this process a `navigator.gpu`, which TensorFlow.js' WebGPU backend looks for, from the npm package `webgpu`.
 * Requests an adapter first: without one, TensorFlow.js would silently use another backend.
 *
 * @throws EngineUnavailable
 */
export async function openWebGpu(): Promise<{ device: () => string; version: string }> {
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
    throw new EngineUnavailable(
      'tfjs-webgpu',
      `the npm package webgpu does not load: ${messageOf(error).split('\n')[0]}`,
      'npm ci',
    );
  }
}

function webGpuVersion(): string {
  const file = createRequire(import.meta.url)
    .resolve('webgpu')
    .replace(/index\.js$/, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
