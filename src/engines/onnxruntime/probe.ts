import * as ort from 'onnxruntime-node';
import { InputError, messageOf } from '../../errors.js';
import type { RunModel, RunValue } from '../../onnx/graph/probe.js';
import { OnnxRuntimeCpu } from './engine.js';

/** Runs models of the user's on the CPU as they stand, nothing fused. @throws InputError where ONNX Runtime refuses one */
export function runModelOf(path: string): RunModel {
  return async (model, batches) => {
    const engine = await OnnxRuntimeCpu.create();
    const refused = (error: unknown): never => {
      throw new InputError(`${path}: ONNX Runtime refuses it: ${messageOf(error).trim().split('\n')[0]}`, {
        cause: error,
      });
    };
    const options = { graphOptimizationLevel: 'disabled', logSeverityLevel: 4 } as const;
    const session = await engine.createSession(model, options).catch(refused);
    try {
      const results: ReadonlyMap<string, RunValue>[] = [];
      for (const { name, dims, data } of batches) {
        const found = await session.run({ [name]: new ort.Tensor('float32', data, dims) }).catch(refused);
        results.push(new Map(Object.entries(found).map(([output, tensor]) => [output, tensor as unknown as RunValue])));
      }
      return results;
    } finally {
      await session.release();
    }
  };
}
