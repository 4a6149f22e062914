import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { InputError, messageOf } from '../../errors.js';

const NO_ADAPTER =
  "engine tfjs-webgpu: no graphics driver (Vulkan, Metal or D3D) was found; install your GPU's, or the software one: " +
  'apt-get install chromium-common libvulkan1 and VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json';

/**
 * Gives this process a `navigator.gpu`, which TensorFlow.js' WebGPU backend looks for, from the npm package `webgpu`.
 * Asks for an adapter first: without one, TensorFlow.js would silently go on with another backend.
 *
 * @throws InputError with one line: why not, and what would change it
 */
export async function openWebGpu(): Promise<{ device: () => string; version: string }> {
  const { create, globals } = await importWebGpu();
  Object.assign(globalThis, globals); // GPUBufferUsage, GPUMapMode, ...
  const gpu = create([]);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) throw new InputError(NO_ADAPTER);
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
    throw new InputError(
      `engine tfjs-webgpu: the npm package webgpu does not load: ${messageOf(error).split('\n')[0]}; run: npm ci`,
    );
  }
}

function webGpuVersion(): string {
  const file = createRequire(import.meta.url)
    .resolve('webgpu')
    .replace(/index\.js$/, 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
