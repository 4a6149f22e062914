import type { PlacedGate } from '../../gates/contracts.js';
import { featureCount, type GatePlace, type OnnxStage, type Pooling } from '../../networks/onnx.js';
import { GraphBuilder } from '../builder.js';
import type { Parts } from '../judged.js';
import {
  dialectOf,
  featureGraphNames,
  type GatedSource,
  isUser,
  type NetworkOutputs,
  type UserNetwork,
  writePooling,
} from '../network.js';
import type { NodeMessage, TensorMessage } from '../proto.js';
import type { PreparedGraph } from './prepare.js';
import { writeAsFloat } from './user-model.js';
import { inputsOf, neededNodes, outputsOf } from './values.js';

/** A user's network in parts, from one gate's tensor to the next. All paths pass through these tensors. */
export function userParts(
  user: UserNetwork,
  gates: readonly PlacedGate[],
  writeGate: (builder: GraphBuilder, index: number, gate: PlacedGate, features: string) => string,
): Parts {
  const { network, graph } = user;
  const stages = gates.map(({ place }) => network.stages[place.stage - 1]!);
  const ends = [...stages.map(({ name }) => name), network.logits];
  const starts = [graph.model.input.value, ...ends];
  const pieces = piecesOf(graph, ends);
  return {
    count: gates.length + 1,
    write(builder, part, [input]) {
      const from = turned(builder, input!, stages[part - 1], 'back');
      const value = copyNodes(builder, graph, pieces[part]!, starts[part]!, from, ends[part]!);
      const placed = gates[part];
      if (placed === undefined) return { distances: value, next: [] };
      const features = builder.fresh('features');
      const images = turned(builder, value, stages[part]);
      writeFeatures(builder, graph, images, stages[part]!, placed.place.pooling, features);
      return { distances: writeGate(builder, part, placed, features), next: [images] };
    },
  };
}

/** The counterpart of `featureGraph` for a user's network. */
export function userFeatureGraph(
  user: UserNetwork,
  places: readonly GatePlace[],
  wanted: NetworkOutputs = 'features and logits',
): Uint8Array {
  const { network, graph } = user;
  const builder = new GraphBuilder(network.name, undefined, dialectOf(user));
  const { channels, height, width } = network.input;
  const stages = places.map(({ stage }) => network.stages[stage - 1]!);
  const ends = [...stages.map(({ name }) => name), ...(wanted === 'features' ? [] : [network.logits])];
  const pieces = piecesOf(graph, ends);
  let start = graph.model.input.value;
  let value = builder.input(featureGraphNames.input, 'float', ['batch', channels, height, width]);
  for (const [index, end] of ends.entries()) {
    value = copyNodes(builder, graph, pieces[index]!, start, value, end);
    start = end;
    const stage = stages[index];
    if (stage === undefined) break;
    const { pooling } = places[index]!;
    const name = featureGraphNames.gate(index);
    writeFeatures(builder, graph, turned(builder, value, stage), stage, pooling, name);
    builder.output(name, 'float', ['batch', featureCount(stage, pooling)]);
  }
  if (wanted === 'features') return builder.encode({ network: network.name });
  builder.node('Identity', [value], {}, featureGraphNames.logits);
  builder.output(featureGraphNames.logits, 'float', ['batch', network.classes]);
  return builder.encode({ network: network.name });
}

/** Whether a gate reads a tensor with images along another axis than the first. */
export const turnsImages = (source: GatedSource, gates: readonly PlacedGate[]): boolean =>
  'members' in source
    ? source.members.some((member) => turnsImages(member.loaded, member.gates))
    : isUser(source) && gates.some(({ place }) => source.network.stages[place.stage - 1]!.images !== undefined);

/** Brings the images of a tensor to the first axis, along which they are gathered; or `back`. */
function turned(builder: GraphBuilder, value: string, stage: OnnxStage | undefined, back?: 'back'): string {
  if (stage?.images === undefined) return value;
  const axes = { row: 1, 'tokens-first': 2, 'tokens-last': 2, 'maps-first': 3, 'maps-last': 3 }[stage.layout];
  const others = Array.from({ length: axes + 1 }, (_, axis) => axis).filter((axis) => axis !== stage.images);
  const perm = [stage.images, ...others];
  return builder.node('Transpose', [value], { perm: back === undefined ? perm : perm.map((_, i) => perm.indexOf(i)) });
}

/** The nodes from one tensor to the next, each piece behind the nodes that compute its constants. */
function piecesOf({ nodes, constants, constantNodes, model }: PreparedGraph, ends: readonly string[]): NodeMessage[][] {
  let from = 0;
  return ends.map((end) => {
    const to = nodes.findIndex((node) => outputsOf(node).includes(end)) + 1;
    const piece = nodes.slice(from, to);
    from = to;
    const wanted = new Set(piece.flatMap(inputsOf).filter((name) => constantNodes.has(name)));
    if (wanted.size === 0) return piece;
    const all = new Set(constantNodes.values());
    return [...neededNodes([...all], constants, [...wanted], model.file.path), ...piece];
  });
}

function addWeight(builder: GraphBuilder, weight: TensorMessage): string {
  return builder.tensor({ ...weight, name: `weight/${weight.name}` });
}

/**
 * Copies nodes into a graph under unique names; weights are added once.
 *
 * @param from the value that the first nodes need; it is called `as` in the builder
 * @returns the name of the value `to` in the builder
 */
function copyNodes(
  builder: GraphBuilder,
  { constants }: PreparedGraph,
  nodes: readonly NodeMessage[],
  from: string,
  as: string,
  to: string,
): string {
  const names = new Map([[from, as]]);
  const renamed = (name: string): string => {
    const weight = constants.get(name);
    return weight === undefined ? (names.get(name) ?? '') : addWeight(builder, weight);
  };
  for (const node of nodes) {
    const cutOff = inputsOf(node).find((name) => !constants.has(name) && !names.has(name));
    if (cutOff !== undefined) throw new Error(`${cutOff} is cut off`);
    for (const name of outputsOf(node)) names.set(name, builder.fresh(`value/${name}`));
    const output = (node.output ?? []).map(renamed);
    builder.copy({ ...node, name: builder.fresh(`node/${node.name}`), input: node.input.map(renamed), output });
  }
  return names.get(to)!;
}

/** Writes a gate's pooling of a tensor, [n, features]. */
function writeFeatures(
  builder: GraphBuilder,
  { formats, constants }: PreparedGraph,
  tensor: string,
  stage: OnnxStage,
  pooling: Pooling,
  output: string,
): void {
  const value = writeAsFloat(builder, tensor, formats.get(stage.name)!, (name) =>
    addWeight(builder, constants.get(name)!),
  );
  const gap = (map: string): string =>
    builder.node('Flatten', [builder.node('GlobalAveragePool', [map])], { axis: 1 }, output);
  const channelsFirst = (perm: readonly number[]): string => builder.node('Transpose', [value], { perm });
  if (stage.layout === 'row') builder.node('Identity', [value], {}, output);
  else if (stage.layout === 'maps-first') writePooling(builder, value, pooling, stage, output);
  else if (stage.layout === 'maps-last') writePooling(builder, channelsFirst([0, 3, 1, 2]), pooling, stage, output);
  else {
    const isLast = stage.layout === 'tokens-last';
    if (pooling.kind !== 'class-token') return void gap(isLast ? channelsFirst([0, 2, 1]) : value);
    const first = builder.node('Gather', [value, builder.ints('class_token', [0])], { axis: isLast ? 1 : 2 });
    builder.node('Flatten', [first], { axis: 1 }, output);
  }
}
