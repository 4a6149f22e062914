import type { PlacedGate } from '../../gates/contracts.js';
import type { OnnxStage, Pooling } from '../../networks/onnx.js';
import { elementCount } from '../../tensor.js';
import type { GraphBuilder } from '../builder.js';
import type { Parts } from '../judged.js';
import { type GatedSource, isUser, type UserNetwork, writePooling } from '../network.js';

import { dataTypes, type NodeMessage, type TensorMessage } from '../proto.js';
import type { PreparedGraph } from './prepare.js';
import { writeAsFloat } from './user-model.js';
import { batchAxis, floatsOf, inputsOf, isEightBitWeight, neededNodes, outputsOf, splitNodes } from './values.js';

/** A user's network in parts, from one exit to the next: features at gates, the logits at its end. */
export function userParts(user: UserNetwork, gates: readonly PlacedGate[]): Parts {
  const { network, graph } = user;
  const stages = gates.map(({ place }) => network.stages[place.stage - 1]!);
  const ends = [...stages.map(({ name }) => name), network.logits];
  const { input: images, file } = graph.model;
  const { pieces, handedOn } = piecesOf(graph, { input: images.value, ends, path: file.path });
  return {
    count: ends.length,
    handsOn: (part) => handedOn[part]!.length,
    write(builder, part, inputs) {
      const given = part === 0 ? [images.value] : handedOn[part - 1]!;
      const names = new Map(given.map((name, i) => [name, turned(builder, graph, name, inputs[i]!, 'back')]));
      copyNodes(builder, graph, pieces[part]!, names);
      const placed = gates[part];
      if (placed === undefined) return { distances: names.get(ends[part]!)!, next: [] };
      const firsts = new Map<string, string>();
      for (const name of [ends[part]!, ...handedOn[part]!]) {
        if (!firsts.has(name)) firsts.set(name, turned(builder, graph, name, names.get(name)!));
      }
      const features = builder.fresh('features');
      writeFeatures(builder, graph, firsts.get(ends[part]!)!, stages[part]!, placed.place.pooling, features);
      const next = handedOn[part]!.map((name) => firsts.get(name)!);
      return { distances: features, next };
    },
  };
}

/** Whether a value with images along another axis than the first is handed on behind a gate. */
export function turnsImages(source: GatedSource, gates: readonly PlacedGate[]): boolean {
  if ('members' in source) return source.members.some((member) => turnsImages(member.loaded, member.gates));
  if (!isUser(source)) return false;
  const { stages, logits } = source.network;
  const ends = [...gates.map(({ place }) => stages[place.stage - 1]!.name), logits];
  const { handedOn } = splitNodes(source.graph.nodes, source.graph.model.input.value, ends);
  return handedOn.flat().some((name) => (batchAxis(source.graph.shapes.get(name)) ?? 0) > 0);
}

/** Whether most of its weights are 8-bit numbers. */
export function hasEightBits(source: GatedSource): boolean {
  const userOf = (one: GatedSource): UserNetwork[] =>
    'members' in one ? one.members.flatMap(({ loaded }) => userOf(loaded)) : isUser(one) ? [one] : [];
  let [eight, all] = [0, 0];
  for (const weight of userOf(source).flatMap(({ graph }) => [...graph.constants.values()])) {
    if (weight.dims.length < 2) continue;
    all += elementCount(weight.dims.map(Number));
    if (isEightBitWeight(weight)) eight += elementCount(weight.dims.map(Number));
  }
  return 2 * eight > all;
}

/** Brings the images of a value to the first axis, along which they are gathered; or `back`. */
function turned(builder: GraphBuilder, { shapes }: PreparedGraph, name: string, as: string, back?: 'back'): string {
  const sizes = shapes.get(name);
  const axis = batchAxis(sizes) ?? 0;
  if (axis === 0) return as;
  const others = sizes![0].map((_, i) => i).filter((i) => i !== axis);
  const perm = [axis, ...others];
  return builder.node('Transpose', [as], { perm: back === undefined ? perm : perm.map((_, i) => perm.indexOf(i)) });
}

/**
 * The nodes up to each end, each piece behind the nodes that compute its constants, and what it hands on.
 *
 * @param constantNodes by their results; several pieces may need one
 */
export function piecesOf(
  { nodes, constants, constantNodes }: Pick<PreparedGraph, 'nodes' | 'constants' | 'constantNodes'>,
  { input, ends, path }: { readonly input: string; readonly ends: readonly string[]; readonly path: string },
) {
  const { pieces, handedOn } = splitNodes(nodes, input, ends);
  const all = [...new Set(constantNodes.values())];
  const whole = pieces.map((piece) => {
    const wanted = new Set(piece.flatMap(inputsOf).filter((name) => constantNodes.has(name)));
    return wanted.size === 0 ? piece : [...neededNodes(all, constants, [...wanted], path), ...piece];
  });
  return { pieces: whole, handedOn };
}

function addWeight(builder: GraphBuilder, weight: TensorMessage): string {
  return builder.tensor({ ...weight, name: `weight/${weight.name}` });
}

/**
 * Copies nodes into a graph under unique names; weights are added once.
 *
 * @param names of values in the builder; those of the nodes are added
 */
function copyNodes(
  builder: GraphBuilder,
  { constants }: PreparedGraph,
  nodes: readonly NodeMessage[],
  names: Map<string, string>,
): void {
  const own = new Map<string, string>();
  // ONNX Runtime's 4 and 8-bit operators look for weights and scales in their own branch only: products fail where there are
  // none, convolutions bring them into their order in every run, and those with a ReLU cannot be joined (two nodes of one name).
  const inBranch = (weight: TensorMessage): string => {
    const name = own.get(weight.name) ?? builder.fresh(`weight/${weight.name}`);
    builder.localTensor({ ...weight, name });
    own.set(weight.name, name);
    return name;
  };
  const renamed = (name: string, isScaled = false): string => {
    const weight = constants.get(name);
    if (weight === undefined) return names.get(name) ?? '';
    return isScaled || isEightBitWeight(weight) ? inBranch(weight) : addWeight(builder, weight);
  };
  for (const node of nodes) {
    const cutOff = inputsOf(node).find((name) => !constants.has(name) && !names.has(name));
    if (cutOff !== undefined) throw new Error(`${cutOff} is cut off`);
    for (const name of outputsOf(node)) names.set(name, builder.fresh(`value/${name}`));
    const output = (node.output ?? []).map((name) => renamed(name));
    const isScaled = /^(De)?quantizeLinear$/i.test(node.op_type);
    const input = node.input.map((name) => renamed(name, isScaled));
    builder.copy({ ...node, name: builder.fresh(`node/${node.name}`), input, output });
  }
}

/** With more cells the product of `writeSums` takes as long as to dequantise the maps, and the file grows. */
const MOST_CELLS = 64;

/**
 * Writes the pooling of 8-bit maps as a product of whole numbers: their sums over each cell, exactly. To dequantise the maps
 * first takes several times as long.
 *
 * @param map [n, channels, height, width]
 * @param pixels what one means: the scale, and the zero point if there is one
 */
function writeSums(
  builder: GraphBuilder,
  map: string,
  { channels, height, width }: OnnxStage,
  pixels: { readonly scale: number; readonly zero: string | undefined },
  pooling: Pooling,
  output: string,
): void {
  const across = pooling.kind === 'grid' ? pooling.size : 1;
  const cells = across ** 2;
  const [tall, wide] = [height / across, width / across];
  // As int8: ONNX Runtime multiplies signed numbers by no unsigned ones.
  const inCell = new Uint8Array(height * width * cells);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      inCell[(y * width + x) * cells + Math.floor(y / tall) * across + Math.floor(x / wide)] = 1;
    }
  }
  const name = builder.fresh('in_cell');
  builder.localTensor({ name, dims: [height * width, cells], data_type: dataTypes.int8, raw_data: inCell });
  const rows = builder.node('Reshape', [map, builder.ints(`rows${channels}`, [0, channels, -1])]);
  const sums = builder.node('MatMulInteger', [rows, name, ...(pixels.zero === undefined ? [] : [pixels.zero])]);
  const factor = builder.constant(builder.fresh('mean'), Float32Array.of(pixels.scale / (tall * wide)), []);
  const means = builder.node('Mul', [builder.node('Cast', [sums], { to: dataTypes.float }), factor]);
  builder.node('Flatten', [means], { axis: 1 }, output);
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
  const format = formats.get(stage.name)!;
  const named = (name: string): string => addWeight(builder, constants.get(name)!);
  const [scale, zero] = format.quantised ?? [];
  const scales = scale === undefined ? undefined : floatsOf(constants.get(scale));
  const isCoarse = pooling.kind !== 'grid' || pooling.size ** 2 <= MOST_CELLS;
  const is8Bit = format.type === dataTypes.uint8 || format.type === dataTypes.int8;
  if (stage.layout === 'maps-first' && scales?.length === 1 && is8Bit && isCoarse) {
    const pixels = { scale: scales[0]!, zero: zero === undefined ? undefined : named(zero) };
    writeSums(builder, tensor, stage, pixels, pooling, output);
    return;
  }
  const value = writeAsFloat(builder, tensor, format, named);
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
