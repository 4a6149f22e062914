import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
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
import { userFeatureGraph } from '../../onnx/graph/parts.js';
import {
  covarianceGraph,
  covarianceGraphNames,
  linearGradientGraph,
  linearGraphNames,
  productGraph,
} from '../../onnx/linear.js';
import { type GatedSource, isUser, type LoadedNetwork, type NetworkOutputs } from '../../onnx/loaded.js';
import { featureGraph, featureGraphNames } from '../../onnx/network.js';
import type { EngineDescription } from '../../timing/machine.js';
import type { Engine, FeatureBatch, FeatureNetwork, GatedNetwork } from '../engine.js';
import { type CreateSession, loadGatedOn, oneOrMore, onlyOne, release, SessionPool, type Sessions } from './gated.js';
import * as ort from './ort.js';
import { tryIsolated } from './probe.js';
import { forBatches, sessionOptions, sleepsSoon } from './session.js';

// The warnings concern nodes that dgate writes on purpose.
ort.env.logLevel = 'error';

/** One kind of device that ONNX Runtime executes on. */
export interface Execution {
  readonly id: string;
  readonly device: string;
  /** ONNX Runtime's execution provider. */
  readonly provider: 'cpu' | 'webgpu' | 'cuda';
  /** Threads of one session. */
  readonly threads: number;
}

/** ONNX Runtime through the binaries that ship inside the npm package onnxruntime-node. */
export class OnnxRuntime implements Engine, GateTrainer {
  readonly #execution: Execution;
  readonly #version: string;

  protected constructor(execution: Execution, version: string) {
    this.#execution = execution;
    this.#version = version;
  }

  describe(): EngineDescription {
    const { id, device, threads } = this.#execution;
    return { id, device, threads, versions: { 'onnxruntime-node': this.#version } };
  }

  /** Opens a session on an ONNX file held in memory. */
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
   * The sessions of a network. On CUDA: one for each batch size. On the CPU, for an original network (no places): one for
   * single images and one for batches, each with its fastest options, like the gated networks that are timed against it.
   * Otherwise one for all: without memory plans, an extraction took 18 % more per photograph for 10,000 photographs than
   * for 100; with them, 10 to 12 %.
   */
  async #featureSessions(
    lowered: LoadedNetwork,
    places: readonly GatePlace[],
    wanted: NetworkOutputs,
  ): Promise<Sessions> {
    const open = (options: ort.InferenceSession.SessionOptions) =>
      this.createSession(
        isUser(lowered) ? userFeatureGraph(lowered, places, wanted) : featureGraph(lowered, places, wanted),
        options,
      );
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
  ): Promise<GatedNetwork> {
    for (const { loaded } of 'members' in lowered ? lowered.members : [{ loaded: lowered }]) {
      if (isUser(loaded)) await tryIsolated(loaded);
    }
    const create: CreateSession = (model, options) => this.createSession(model, options);
    return loadGatedOn[this.#execution.provider](create, lowered, gates, confidence);
  }

  async loadLinearGradient(problem: LinearProblem): Promise<LinearGradient> {
    const { features, classes } = problem;
    const session = await this.createSession(linearGradientGraph(problem));
    const names = linearGraphNames;
    return {
      async run(x, labels, weights, bias, ridge): Promise<LinearGradientResult> {
        const count = labels.length;
        const results = await session.run({
          [names.x]: new ort.Tensor('float32', x, [count, features]),
          [names.labels]: new ort.Tensor('int64', BigInt64Array.from(labels, BigInt), [count]),
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

/** ONNX Runtime on the CPU. */
export class OnnxRuntimeCpu extends OnnxRuntime {
  /** @param threads threads of one session; all cores by default */
  static async create(threads = availableParallelism()): Promise<OnnxRuntimeCpu> {
    const device = cpus()[0]?.model.trim() ?? 'CPU';
    return new OnnxRuntimeCpu({ id: 'ort-cpu', device, provider: 'cpu', threads }, await packageVersion());
  }
}

/** The version of the npm package onnxruntime-node. */
export async function packageVersion(): Promise<string> {
  const path = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  return (JSON.parse(await readFile(path, 'utf8')) as { version: string }).version;
}

function floats(results: ort.InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = results[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`ONNX Runtime gave no float output "${name}"`);
  return data;
}
