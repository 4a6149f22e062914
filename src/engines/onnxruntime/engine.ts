import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism, cpus } from 'node:os';
import * as ort from 'onnxruntime-node';
import type { LoweredNetwork } from '../../networks/lower.js';
import type { GatePlace } from '../../networks/pooling.js';
import { linearGradientGraph, linearGraphNames } from '../../onnx/linear.js';
import { featureGraph, featureGraphNames } from '../../onnx/network.js';
import type {
  Engine,
  EngineDescription,
  FeatureBatch,
  FeatureNetwork,
  LinearGradient,
  LinearGradientResult,
  Loss,
} from '../engine.js';

/** ONNX Runtime on the CPU, through the binary that ships inside the npm package onnxruntime-node. */
export class OnnxRuntimeCpu implements Engine {
  readonly #version: string;
  readonly #threads: number;

  private constructor(version: string, threads: number) {
    this.#version = version;
    this.#threads = threads;
  }

  /** @param threads threads of one session; all cores by default */
  static async create(threads = availableParallelism()): Promise<OnnxRuntimeCpu> {
    const path = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
    const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
    return new OnnxRuntimeCpu(version, threads);
  }

  describe(): EngineDescription {
    return {
      id: 'ort-cpu',
      device: cpus()[0]?.model.trim() ?? 'CPU',
      threads: this.#threads,
      versions: { 'onnxruntime-node': this.#version },
    };
  }

  /** Opens a session on an ONNX file held in memory. */
  createSession(model: Uint8Array): Promise<ort.InferenceSession> {
    return ort.InferenceSession.create(model, {
      executionProviders: ['cpu'],
      intraOpNumThreads: this.#threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      logSeverityLevel: 3,
    });
  }

  async loadFeatures(lowered: LoweredNetwork, places: readonly GatePlace[]): Promise<FeatureNetwork> {
    const session = await this.createSession(featureGraph(lowered, places));
    const { channels, height, width } = lowered.network.input;
    return {
      async run(images, count): Promise<FeatureBatch> {
        const input = new ort.Tensor('float32', images, [count, channels, height, width]);
        const results = await session.run({ [featureGraphNames.input]: input });
        return {
          features: places.map((_, gate) => floats(results, featureGraphNames.gate(gate))),
          logits: floats(results, featureGraphNames.logits),
        };
      },
      close: () => session.release(),
    };
  }

  async loadLinearGradient(features: number, classes: number, loss: Loss): Promise<LinearGradient> {
    const session = await this.createSession(linearGradientGraph(features, classes, loss));
    const names = linearGraphNames;
    return {
      async run(x, labels, weights, bias): Promise<LinearGradientResult> {
        const count = labels.length;
        const results = await session.run({
          [names.x]: new ort.Tensor('float32', x, [count, features]),
          [names.labels]: new ort.Tensor('int64', BigInt64Array.from(labels, BigInt), [count]),
          [names.weights]: new ort.Tensor('float32', weights, [features, classes]),
          [names.bias]: new ort.Tensor('float32', bias, [classes]),
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
}

function floats(results: ort.InferenceSession.OnnxValueMapType, name: string): Float32Array {
  const data = results[name]?.data;
  if (!(data instanceof Float32Array)) throw new Error(`ONNX Runtime gave no float output "${name}"`);
  return data;
}
