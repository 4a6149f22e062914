import type { LoweredNetwork } from '../networks/lower.js';
import type { OnnxNetwork } from '../networks/onnx.js';
import type { Dialect } from './builder.js';
import type { PreparedGraph } from './graph/prepare.js';

/** A network of one's own, ready to run: what `LoweredNetwork` is for those that dgate describes. */
export interface UserNetwork {
  readonly network: OnnxNetwork;
  readonly graph: PreparedGraph;
}

/** A network with its weights. */
export type LoadedNetwork = LoweredNetwork | UserNetwork;

/** What is wanted of a network: features of its gates alone, or its logits too, which is the default. */
export type NetworkOutputs = 'features' | 'features and logits';

export function isUser(loaded: LoadedNetwork): loaded is UserNetwork {
  return 'graph' in loaded;
}

/** The versions that graphs around a network are written in: the user's own; undefined for dgate's. */
export function dialectOf(loaded: LoadedNetwork): Dialect | undefined {
  if (!isUser(loaded)) return undefined;
  const { opset_import, ir_version } = loaded.graph.model.file.model;
  const opsets = opset_import.map(({ domain, version }) => ({ domain: domain ?? '', version: Number(version) }));
  return { opsets, irVersion: Math.max(8, Number(ir_version)) };
}
