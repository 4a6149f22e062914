import type { RunValue } from '../../onnx/graph/probe.js';
import * as ort from './ort.js';
import { type OpenSession, refusedBy, sessionOptions } from './session.js';

/**
 * Opens models in this process, which a malicious or corrupt graph can crash or block: only for models that dgate has just
 * written.
 *
 * @param path the model's name in messages
 */
export function openInProcess(path: string): OpenSession {
  const refused = (error: unknown): never => {
    throw refusedBy(path, error);
  };
  return async (model, options) => {
    const all = { ...sessionOptions('cpu'), ...options };
    const session = await ort.InferenceSession.create(model, all).catch(refused);
    return {
      async run(feeds, outputs = session.outputNames) {
        const tensors = Object.entries(feeds).map(([name, feed]) => [
          name,
          new ort.Tensor(feed.type, feed.data, feed.dims),
        ]);
        const start = performance.now();
        const found = await session.run(Object.fromEntries(tensors), outputs).catch(refused);
        const ms = performance.now() - start;
        return { values: new Map(Object.entries(found) as unknown as [string, RunValue][]), ms };
      },
      close: () => session.release(),
    };
  };
}
