import type { Preprocessing } from '../data/preprocess.js';
import type { Resizing } from '../data/resized.js';
import { InputError } from '../errors.js';
import type { PlacedGate } from '../gates/contracts.js';
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

/** Networks one after the other, on the same classes; the counterpart of one network with gates. */
export interface LoadedCascade {
  /** The last one. */
  readonly network: LoadedNetwork['network'];
  /** How images are prepared where they are not given as bytes: the last one's way. */
  readonly given: Preprocessing;
  readonly members: readonly LoadedMember[];
}

/** A network of a cascade with the gates inside it. */
export interface LoadedMember {
  readonly loaded: LoadedNetwork;
  readonly preprocessing: Preprocessing;
  /** From the pixels that the graph takes to its own; absent where they are the same. */
  readonly resizing?: Resizing;
  readonly gates: readonly PlacedGate[];
  /** Whether it ends at the last of its gates, which takes the place of its classifier. */
  readonly isCut: boolean;
}

/** What a graph with exits is written from. */
export type GatedSource = LoadedNetwork | LoadedCascade;

export function isUser(loaded: GatedSource): loaded is UserNetwork {
  return 'graph' in loaded;
}

/**
 * The operator versions for graphs around a network: those of the user's file; undefined for built-in networks.
 *
 * @throws InputError where the files of a cascade differ
 */
export function dialectOf(loaded: GatedSource): Dialect | undefined {
  if ('members' in loaded) {
    const dialects = loaded.members.flatMap((member) => dialectOf(member.loaded) ?? []);
    const versions = new Set(dialects.map(({ opsets }) => JSON.stringify(opsets)));
    if (versions.size < 2) return dialects[0];
    throw new InputError(
      `cascade: ONNX files of different operator sets (${[...versions].join(', ')}); valid: files of one`,
    );
  }
  if (!isUser(loaded)) return undefined;
  const { opset_import, ir_version } = loaded.graph.model.file.model;
  const opsets = opset_import.map(({ domain, version }) => ({ domain: domain ?? '', version: Number(version) }));
  return { opsets, irVersion: Math.max(8, Number(ir_version)) };
}
