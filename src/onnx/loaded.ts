import type { LoweredNetwork } from '../networks/lower.js';
import type { OnnxNetwork } from '../networks/onnx.js';
import type { Dialect } from './builder.js';
import type { PreparedGraph } from './graph/prepare.js';

/** A user's network, ready to run: the counterpart of `LoweredNetwork` for built-in networks. */
export interface UserNetwork {
  readonly network: OnnxNetwork;
  readonly graph: PreparedGraph;
}

/** A network with its weights. */
export type LoadedNetwork = LoweredNetwork | UserNetwork;

/** Requested outputs of a network: only the features of its gates, or also its logits (the default). */
export type NetworkOutputs = 'features' | 'features and logits';

export function isUser(loaded: LoadedNetwork): loaded is UserNetwork {
  return 'graph' in loaded;
}

/** The operator versions for graphs around a network: those of the user's file; undefined for built-in networks. */
export function dialectOf(loaded: LoadedNetwork): Dialect | undefined {
  if (!isUser(loaded)) return undefined;
  const { opset_import, ir_version } = loaded.graph.model.file.model;
  const opsets = opset_import.map(({ domain, version }) => ({ domain: domain ?? '', version: Number(version) }));
  return { opsets, irVersion: Math.max(8, Number(ir_version)) };
}
