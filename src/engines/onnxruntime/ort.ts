/**
 * ONNX Runtime with telemetry off. No other module may import `onnxruntime-node` (the linter refuses it): from 1.30 on, the
 * native library writes a device id and a log and looks up a telemetry host, unless the environment forbids it beforehand.
 */
import './loads.js'; // first: it runs before the native library is loaded
import { type InferenceSession, Tensor } from 'onnxruntime-node';

export * from 'onnxruntime-node';

export interface Feed {
  readonly type: 'float32' | 'uint8';
  readonly dims: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

/** Runs a graph. @param outputs all by default @returns them by name, and the time of the run alone */
export async function runFeeds(
  session: InferenceSession,
  feeds: Readonly<Record<string, Feed>>,
  outputs = session.outputNames,
): Promise<{ readonly found: InferenceSession.OnnxValueMapType; readonly ms: number }> {
  const tensors = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims)]);
  const start = performance.now();
  const found = await session.run(Object.fromEntries(tensors), outputs);
  return { found, ms: performance.now() - start };
}
