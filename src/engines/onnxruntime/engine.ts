import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '../../errors.js';
import type { ConfidenceKind } from '../../gates/confidence.js';
import type {
  BlockCovariance,
  GateTrainer,
  LinearGradient,
  LinearGradientResult,
  LinearProblem,
  MatrixProduct,
  PlacedGate,
  Scaling,
} from '../../gates/contracts.js';
import type { GatePlace } from '../../networks/onnx.js';
import { featureGraph } from '../../onnx/gated.js';
import {
  covarianceGraph,
  covarianceGraphNames,
  linearGradientGraph,
  linearGraphNames,
  productGraph,
} from '../../onnx/linear.js';
import {
  featureGraphNames,
  type GatedSource,
  isUser,
  type LoadedNetwork,
  type NetworkOutputs,
} from '../../onnx/network.js';
import type { EngineDescription } from '../../timing/record.js';
import {
  computeInFloat32,
  type Engine,
  EngineUnavailable,
  type FeatureBatch,
  type FeatureNetwork,
  type GatedNetwork,
  noGraphicsDriver,
} from '../engine.js';
import { loadGatedOn, oneOrMore, onlyOne, release, SessionPool, type Sessions } from './gated.js';
import * as ort from './ort.js';
import { forBatches, sessionOptions, sleepsSoon, tryIsolated } from './session.js';

// Its warnings concern nodes that dgate writes on purpose.
ort.env.logLevel = 'error';

interface Execution {
  readonly id: string;
  readonly device: string;
  /** ONNX Runtime's execution provider. */
  readonly provider: 'cpu' | 'webgpu' | 'cuda';
  /** Threads of one session. */
  readonly threads: number;
}

/** ONNX Runtime, as the npm package onnxruntime-node brings it. */
export class OnnxRuntime implements Engine, GateTrainer {
  readonly #execution: Execution;
  readonly #version: string;

  constructor(execution: Execution, version: string) {
    this.#execution = execution;
    this.#version = version;
  }

  describe(): EngineDescription {
    const { id, device, threads } = this.#execution;
    return { id, device, threads, versions: { 'onnxruntime-node': this.#version } };
  }

  createSession(model: Uint8Array, options: ort.InferenceSession.SessionOptions = {}): Promise<ort.InferenceSession> {
    const { provider, threads } = this.#execution;
    return ort.InferenceSession.create(model, { ...sessionOptions(provider, threads), ...options });
  }

  async loadFeatures(
    lowered: LoadedNetwork,
    places: readonly GatePlace[],
    wanted: NetworkOutputs = 'features and logits',
  ): Promise<FeatureNetwork> {
    if (isUser(lowered)) await tryIsolated(lowered);
    const sessions = await this.#featureSessions(lowered, places, wanted);
    const { channels, height, width } = lowered.network.input;
    return {
      async run(images, count): Promise<FeatureBatch> {
        const session = await sessions.get(count);
        const input = new ort.Tensor('float32', images, [count, channels, height, width]);
        const results = await session.run({ [featureGraphNames.input]: input });
        return {
          features: places.map((_, gate) => floats(results, featureGraphNames.gate(gate))),
          logits: wanted === 'features' ? new Float32Array() : floats(results, featureGraphNames.logits),
        };
      },
      close: () => sessions.closeAll(),
    };
  }

  /**
   * On CUDA one session for each batch size. An original network (no places) on the CPU has one for single images and one
   * for batches, like the gated networks that are timed against it. Otherwise one for all, with memory plans: without them
   * extraction slows down more over 10,000 photographs (18 % instead of 10 to 12 %).
   */
  async #featureSessions(
    lowered: LoadedNetwork,
    places: readonly GatePlace[],
    wanted: NetworkOutputs,
  ): Promise<Sessions> {
    const open = (options: ort.InferenceSession.SessionOptions) =>
      this.createSession(featureGraph(lowered, places, wanted), options);
    const { provider } = this.#execution;
    if (provider === 'cuda') return new SessionPool(() => open(sleepsSoon), release);
    if (provider === 'cpu' && places.length === 0) {
      return oneOrMore((images) => open(images === 'any' ? forBatches : sleepsSoon));
    }
    return onlyOne(await open(sleepsSoon));
  }

  async loadGated(
    lowered: GatedSource,
    gates: readonly PlacedGate[],
    confidence: ConfidenceKind,
    fitted?: 'input',
  ): Promise<GatedNetwork> {
    for (const { loaded } of 'members' in lowered ? lowered.members : [{ loaded: lowered }]) {
      if (isUser(loaded)) await tryIsolated(loaded);
    }
    const load = loadGatedOn[this.#execution.provider];
    return load((model, options) => this.createSession(model, options), lowered, gates, confidence, fitted);
  }

  async loadLinearGradient(problem: LinearProblem): Promise<LinearGradient> {
    const { features, classes } = problem;
    const session = await this.createSession(linearGradientGraph(problem));
    const names = linearGraphNames;
    return {
      async run(x, target, weights, bias, ridge): Promise<LinearGradientResult> {
        const count = x.length / features;
        const results = await session.run({
          [names.x]: new ort.Tensor('float32', x, [count, features]),
          [names.target]: new ort.Tensor('float32', oneHot(target, classes), [count, classes]),
          [names.weights]: new ort.Tensor('float32', weights, [features, classes]),
          [names.bias]: new ort.Tensor('float32', bias, [classes]),
          [names.ridge]: new ort.Tensor('float32', Float32Array.of(ridge), []),
        });
        return {
          weights: floats(results, names.weightGradient),
          bias: floats(results, names.biasGradient),
          loss: floats(results, names.loss)[0]!,
        };
      },
      close: () => session.release(),
    };
  }

  async loadProduct(): Promise<MatrixProduct> {
    const [plain, turned] = [await this.createSession(productGraph(0)), await this.createSession(productGraph(1))];
    return {
      async run(a, shapeOfA, b, shapeOfB, transposed): Promise<Float32Array> {
        const session = transposed === undefined ? plain : turned;
        const feeds = { a: new ort.Tensor('float32', a, shapeOfA), b: new ort.Tensor('float32', b, shapeOfB) };
        return floats(await session.run(feeds), 'product');
      },
      close: async () => void (await Promise.all([plain.release(), turned.release()])),
    };
  }

  async loadCovariance(scaling: Scaling, blocks: readonly number[]): Promise<BlockCovariance> {
    const session = await this.createSession(covarianceGraph(scaling, blocks));
    const features = scaling.mean.length;
    return {
      async run(x): Promise<Float32Array[]> {
        const input = new ort.Tensor('float32', x, [x.length / features, features]);
        const results = await session.run({ [covarianceGraphNames.x]: input });
        return blocks.map((_, index) => floats(results, covarianceGraphNames.block(index)));
      },
      close: () => session.release(),
    };
  }
}

export class OnnxRuntimeCpu extends OnnxRuntime {
  /** @param threads threads of one session; all cores by default */
  static async create(threads = availableParallelism()): Promise<OnnxRuntimeCpu> {
    const device = cpus()[0]?.model.trim() ?? 'CPU';
    return new OnnxRuntimeCpu({ id: 'ort-cpu', device, provider: 'cpu', threads }, await packageVersion());
  }
}

/** ONNX Runtime on any GPU with a Vulkan, Metal or D3D driver; its WebGPU binary ships inside the npm package. */
export const OnnxRuntimeWebGpu = {
  /** @throws EngineUnavailable */
  create: (): Promise<OnnxRuntime> => {
    const execution = { id: 'ort-webgpu', device: 'WebGPU (the first graphics device)', provider: 'webgpu' } as const;
    return openGpu(execution, (message) =>
      message.includes('WebGPU adapter')
        ? noGraphicsDriver(execution.id)
        : new EngineUnavailable(execution.id, `ONNX Runtime says: ${message}`, 'npm ci'),
    );
  },
};

/** Libraries that CUDA needs and that do not ship with onnxruntime-node. */
export const cudaLibraries = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'] as const;

const CUDA_12 = 'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js';

/** ONNX Runtime on CUDA 12 or 13; its libraries are not part of the npm package. */
export const OnnxRuntimeCuda = {
  /** @throws EngineUnavailable */
  create: async (): Promise<OnnxRuntime> => {
    const unavailable = (reason: string, command: string) => new EngineUnavailable('ort-cuda', reason, command);
    const { platform, arch } = process;
    if (platform !== 'linux' || arch !== 'x64') {
      throw unavailable(`needs Linux on x64 (here: ${platform} ${arch})`, 'dgate doctor');
    }
    const libraries = cudaLibraries.map((name) => join(libraryFolder(), name));
    if (!libraries.every((library) => existsSync(library))) {
      const reason = `onnxruntime-node has no CUDA libraries (for CUDA 12: ${CUDA_12})`;
      throw unavailable(reason, 'dgate doctor --setup ort-cuda');
    }
    computeInFloat32();
    return openGpu({ id: 'ort-cuda', device: 'CUDA GPU', provider: 'cuda' }, (message) => {
      if (!message.includes('Failed to load shared library')) {
        // The line also names every function on the call stack.
        const failure = /CUDA failure \d+: [^;]*[^; ]/.exec(message)?.[0] ?? message;
        return unavailable(`ONNX Runtime says: ${failure}`, 'nvidia-smi');
      }
      const reason = `${cudaLibraries[1]} or a library that it needs cannot be loaded (CUDA, cuDNN 9, the driver)`;
      return unavailable(reason, `ldd ${libraries[1]} | grep 'not found'`);
    });
  },
};

/** Multiplies two numbers on a new engine, which fails without its device or libraries. */
async function openGpu(
  execution: Omit<Execution, 'threads'>,
  explain: (message: string) => EngineUnavailable,
): Promise<OnnxRuntime> {
  const engine = new OnnxRuntime({ ...execution, threads: availableParallelism() }, await packageVersion());
  try {
    const covariance = await engine.loadCovariance({ mean: Float32Array.of(0), inverse: Float32Array.of(1) }, [1]);
    await covariance.run(Float32Array.of(2));
    await covariance.close();
    return engine;
  } catch (error) {
    throw explain(messageOf(error).trim().split('\n')[0] ?? '');
  }
}

/** Where onnxruntime-node keeps its libraries for this machine. */
export function libraryFolder(): string {
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  return join(root, 'bin', 'napi-v6', process.platform, process.arch);
}

export async function packageVersion(): Promise<string> {
  const path = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  return (JSON.parse(await readFile(path, 'utf8')) as { version: string }).version;
}

/** Classes as rows with a 1 at the class; probabilities as they are. */
function oneHot(target: Int32Array | Float32Array, classes: number): Float32Array {
  if (target instanceof Float32Array) return target;
  const rows = new Float32Array(target.length * classes);
  target.forEach((label, image) => {
    rows[image * classes + label] = 1;
  });
  return rows;
}

function floats(results: ort.InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = results[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`ONNX Runtime gave no float output "${name}"`);
  return data;
}
