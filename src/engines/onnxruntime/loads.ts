import { createRequire } from 'node:module';
import { messageOf } from '../../errors.js';
import { EngineUnavailable } from '../engine.js';

// Node calls `setenv`, so that native code reads it too.
process.env['ORT_DISABLE_TELEMETRY'] = '1';

/**
 * Loads ONNX Runtime's native library before anything uses it.
 *
 * @param load in tests, another loader
 * @throws EngineUnavailable where the package has none for this system: macOS on Intel, musl, another machine's node_modules
 */
export function assertLoads(load: (name: string) => unknown = createRequire(import.meta.url)): void {
  try {
    load('onnxruntime-node');
  } catch (error) {
    const reason = messageOf(error)
      .split('\n')[0]!
      .replace(/^Cannot find module '.*(?=napi-v6)/, "no library '");
    throw new EngineUnavailable(
      'ort-*',
      `onnxruntime-node does not load on ${process.platform} ${process.arch}: ${reason}; ` +
        'networks run with --engine tfjs-wasm, but gates are trained by ONNX Runtime alone',
      'npm ci',
    );
  }
}

assertLoads();
