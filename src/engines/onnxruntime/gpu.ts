import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '../../errors.js';
import { computeInFloat32, EngineUnavailable, noGraphicsDriver } from '../engine.js';
import { OnnxRuntime, packageVersion } from './engine.js';

/** ONNX Runtime on any GPU with a Vulkan, Metal or D3D driver; its WebGPU binary ships inside the npm package. */
export class OnnxRuntimeWebGpu extends OnnxRuntime {
  /** @throws EngineUnavailable */
  static async create(): Promise<OnnxRuntimeWebGpu> {
    const device = 'WebGPU (the first graphics device)';
    const execution = { id: 'ort-webgpu', device, provider: 'webgpu', threads: availableParallelism() } as const;
    const engine = new OnnxRuntimeWebGpu(execution, await packageVersion());
    await probe(engine, (message) =>
      message.includes('WebGPU adapter')
        ? noGraphicsDriver(execution.id)
        : new EngineUnavailable(execution.id, `ONNX Runtime says: ${message}`, 'npm ci'),
    );
    return engine;
  }
}

/** Libraries that CUDA needs and that do not ship with onnxruntime-node. */
export const cudaLibraries = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'] as const;

const CUDA_12 = 'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js';

/** ONNX Runtime on CUDA 12 or 13, whose libraries are not part of the npm package. */
export class OnnxRuntimeCuda extends OnnxRuntime {
  /** @throws EngineUnavailable */
  static async create(): Promise<OnnxRuntimeCuda> {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new EngineUnavailable(
        'ort-cuda',
        `needs Linux on x64 (here: ${process.platform} ${process.arch})`,
        'dgate doctor',
      );
    }
    const libraries = cudaLibraries.map((name) => join(libraryFolder(), name));
    if (!libraries.every((library) => existsSync(library))) {
      throw new EngineUnavailable(
        'ort-cuda',
        `onnxruntime-node has no CUDA libraries (for CUDA 12: ${CUDA_12})`,
        'dgate doctor --setup ort-cuda',
      );
    }
    computeInFloat32();
    const execution = {
      id: 'ort-cuda',
      device: 'CUDA GPU',
      provider: 'cuda',
      threads: availableParallelism(),
    } as const;
    const engine = new OnnxRuntimeCuda(execution, await packageVersion());
    await probe(engine, (message) =>
      message.includes('Failed to load shared library')
        ? new EngineUnavailable(
            execution.id,
            `${cudaLibraries[1]} or a library that it needs cannot be loaded (CUDA, cuDNN 9, the driver)`,
            `ldd ${libraries[1]} | grep 'not found'`,
          )
        : new EngineUnavailable(execution.id, `ONNX Runtime says: ${cudaFailure(message)}`, 'nvidia-smi'),
    );
    return engine;
  }
}

/** Multiplies two numbers: a provider without its device or libraries fails here. */
async function probe(engine: OnnxRuntime, explain: (message: string) => EngineUnavailable): Promise<void> {
  try {
    const scaling = { mean: Float32Array.of(0), inverse: Float32Array.of(1) };
    const covariance = await engine.loadCovariance(scaling, [1]);
    await covariance.run(Float32Array.of(2));
    await covariance.close();
  } catch (error) {
    throw explain(messageOf(error).trim().split('\n')[0] ?? '');
  }
}

/** The CUDA failure in a line that also names every function on the call stack. */
function cudaFailure(message: string): string {
  return /CUDA failure \d+: [^;]*[^; ]/.exec(message)?.[0] ?? message;
}

/** Where onnxruntime-node keeps its libraries for this machine. */
export function libraryFolder(): string {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  return join(root, 'bin', 'napi-v6', process.platform, process.arch);
}
