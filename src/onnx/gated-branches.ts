import type { ConfidenceKind } from '../gates/confidence.js';
import type { PlacedGate } from '../gates/contracts.js';
import { classCount } from '../networks/onnx.js';
import { GraphBuilder } from './builder.js';
import { networkParts } from './gated.js';
import {
  gatedGraphNames,
  inputThresholds,
  type Parts,
  plainAnswer,
  writeExits,
  writeExitsOfOne,
} from './gated-exits.js';
import { producersOf } from './graph/values.js';
import { dialectOf, type GatedSource } from './loaded.js';
import { gatesInBlocks } from './nchwc.js';
import type { ModelMessage, NodeMessage } from './proto.js';

const distancesName = (exit: number): string => `distances${exit + 1}`;

/**
 * The gated network without exits: every image passes all of it, and the distances at every exit are outputs. It has no
 * branches, so ONNX Runtime optimises all of it; `branchModel` divides the result into branches.
 */
export function straightModel(lowered: GatedSource, gates: readonly PlacedGate[]): Uint8Array {
  const builder = new GraphBuilder(lowered.network.name, undefined, dialectOf(lowered));
  const { channels, height, width } = lowered.network.input;
  let values: readonly string[] = [builder.input(gatedGraphNames.images, 'float', ['batch', channels, height, width])];
  const parts = networkParts(lowered, gates);
  for (let part = 0; part < parts.count; part++) {
    const { distances, next } = parts.write(builder, part, values);
    builder.node('Identity', [distances], {}, distancesName(part));
    builder.output(distancesName(part), 'float', ['batch', classCount(lowered.network)]);
    values = next;
  }
  return builder.encode();
}

/**
 * The gated network with branches, from a straight one that ONNX Runtime has optimised (NCHWc layout, fused activations).
 * Each node goes into the branch of the first exit that needs it. ONNX Runtime does not use the NCHWc layout for nodes that
 * are inside branches when it optimises, which would cost a fifth of the time.
 *
 * Values between parts keep the optimiser's layout. Each image is contiguous in it, so gathering images along the first axis
 * is correct in any layout.
 *
 * Each threshold is an input (`thresholdName`); the answer is that of `plainAnswer`.
 *
 * @param optimised the model that ONNX Runtime wrote; it fits this machine and version only
 * @param images `one`: a graph for single images, with fewer nodes; `any`: for any number of images
 */
export function branchModel(
  optimised: ModelMessage,
  images: 'one' | 'any',
  { gates, classes, confidence, channelBlock }: BranchOptions,
): Uint8Array {
  const distances = Array.from({ length: gates }, (_, gate) => distancesName(gate));
  const model = channelBlock === undefined ? optimised : gatesInBlocks(optimised, distances, channelBlock);
  const builder = builderLike(model);
  const names = gatedGraphNames;
  builder.input(names.images, 'float', [images === 'one' ? 1 : 'batch', ...imageDims(model)]);
  const spec = {
    parts: branchParts(model, gates + 1, images),
    confidence,
    thresholds: inputThresholds(builder, gates),
    answer: plainAnswer(classes, images),
  };
  if (images === 'one') writeExitsOfOne(builder, [names.images], spec);
  else writeExits(builder, [names.images], { ...spec, withoutCopies: true });
  return builder.encode();
}

export interface BranchOptions {
  readonly gates: number;
  readonly classes: number;
  readonly confidence: ConfidenceKind;
  /** Channels per block, if ONNX Runtime chose the NCHWc layout. */
  readonly channelBlock?: number | undefined;
}

function builderLike(model: ModelMessage): GraphBuilder {
  const dialect = { opsets: model.opset_import, irVersion: Number(model.ir_version) };
  return new GraphBuilder(model.graph.name, undefined, dialect);
}

/** Dimensions of an image, without the batch. */
function imageDims({ graph }: ModelMessage): (number | string)[] {
  const dims = graph.input[0]!.type.tensor_type.shape.dim.slice(1);
  return dims.map((dim) => ('dim_value' in dim ? Number(dim.dim_value) : dim.dim_param));
}

/** Nodes of a straight model by the first exit that needs them, and the values that each part hands on. */
function splitByExit({ graph }: ModelMessage, exits: number) {
  const nodes = Array.from({ length: exits }, (): NodeMessage[] => []);
  const partOf = partsOfNodes(graph.node, exits);
  for (const node of graph.node) {
    const part = partOf.get(node);
    if (part !== undefined) nodes[part]!.push(node);
  }
  return { nodes, handedOn: nodes.map((_, part) => valuesBetween(nodes, part)) };
}

/**
 * A straight model in parts, for the branches of one graph. For single images each part is in one branch only, with its
 * weights: ONNX Runtime passes each weight from outside into a branch again in every run.
 */
function branchParts(model: ModelMessage, exits: number, images: 'one' | 'any'): Parts {
  const constants = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  const { nodes, handedOn } = splitByExit(model, exits);
  return {
    count: exits,
    write(builder, part, inputs) {
      const before = part === 0 ? [gatedGraphNames.images] : handedOn[part - 1]!;
      const names = new Map(before.map((name, i): [string, string] => [name, inputs[i]!]));
      const renamed = (name: string): string => names.get(name) ?? name;
      for (const node of nodes[part]!) {
        for (const tensor of node.input.map((name) => constants.get(name))) {
          if (tensor === undefined) continue;
          if (images === 'one') builder.localTensor(tensor);
          else builder.tensor(tensor);
        }
        for (const output of node.output) if (output !== '') names.set(output, builder.fresh(output));
        const [input, output] = [node.input.map(renamed), node.output.map(renamed)];
        builder.copy({ ...node, name: builder.fresh(node.name), input, output });
      }
      return { distances: renamed(distancesName(part)), next: handedOn[part]!.map(renamed) };
    },
  };
}

/** The first exit whose distances need a node; no entry for a node that no exit needs. */
function partsOfNodes(nodes: readonly NodeMessage[], exits: number): Map<NodeMessage, number> {
  const producers = producersOf(nodes);
  const parts = new Map<NodeMessage, number>();
  for (let exit = 0; exit < exits; exit++) {
    const pending = [distancesName(exit)];
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const node = producers.get(name);
      if (node === undefined || parts.has(node)) continue;
      parts.set(node, exit);
      pending.push(...node.input);
    }
  }
  return parts;
}

/** Values that are computed up to a part and needed after it. */
function valuesBetween(nodes: readonly (readonly NodeMessage[])[], part: number): string[] {
  const upTo = nodes.slice(0, part + 1).flat();
  const made = new Set([gatedGraphNames.images, ...upTo.flatMap((node) => node.output)]);
  const needed = new Set(nodes.slice(part + 1).flatMap((later) => later.flatMap((node) => node.input)));
  return [...made].filter((name) => name !== '' && needed.has(name));
}
