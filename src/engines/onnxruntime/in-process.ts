import type { RunValue } from '../../onnx/graph/probe.js';
import * as ort from './ort.js';
import { type OpenSession, refusedBy, sessionOptions } from './session.js';

/**
 * Opens models in this process, where one that is made to that end can end or hold up everything: for those that dgate
 * wrote itself just now.
 *
 * @param path how to call it in messages
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
