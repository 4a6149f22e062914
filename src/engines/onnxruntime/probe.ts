import { userFeatureGraph } from '../../onnx/graph/parts.js';
import type { PreparedGraph } from '../../onnx/graph/prepare.js';
import type { RunModel } from '../../onnx/graph/probe.js';
import type { UserNetwork } from '../../onnx/loaded.js';
import { featureGraphNames } from '../../onnx/network.js';
import { type OpenSession, openIsolated } from './session.js';

const VALID = 'an ONNX model that ONNX Runtime runs';

/**
 * Runs a user's models unoptimised, on the CPU and in an isolated process.
 *
 * @throws InputError if ONNX Runtime refuses a model or crashes on it
 */
export function runModelOf(path: string, open: OpenSession = openIsolated(path, VALID)): RunModel {
  return async (model, batches) => {
    // Plans of the memory, made for each run, take the square of the nodes' number.
    const options = { graphOptimizationLevel: 'disabled', enableMemPattern: false, logSeverityLevel: 4 } as const;
    const session = await open(model, options);
    try {
      const results = [];
      for (const { name, dims, data } of batches) {
        results.push((await session.run({ [name]: { type: 'float32', data, dims } })).values);
      }
      return results;
    } finally {
      await session.close();
    }
  };
}

/** Graphs that this process has tried. */
const tried = new WeakSet<PreparedGraph>();

/**
 * Opens a user's network and runs one image through it in an isolated process, once, optimised as in this process. A model
 * that crashes ONNX Runtime crashes the isolated process and is never opened here.
 *
 * @throws InputError
 */
export async function tryIsolated(user: UserNetwork): Promise<void> {
  if (tried.has(user.graph)) return;
  const { channels, height, width } = user.network.input;
  const session = await openIsolated(user.graph.model.file.path, VALID)(userFeatureGraph(user, []));
  try {
    const data = new Float32Array(channels * height * width);
    await session.run({ [featureGraphNames.input]: { type: 'float32', dims: [1, channels, height, width], data } });
  } finally {
    await session.close();
  }
  tried.add(user.graph);
}
