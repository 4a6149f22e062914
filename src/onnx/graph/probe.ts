import type { Budget } from '../../budget.js';
import { Rewriter } from '../builder.js';
import {
  dataTypes,
  encodeModel,
  type GraphMessage,
  type NodeMessage,
  type TensorMessage,
  type ValueInfoMessage,
} from '../proto.js';
import type { UserModel } from './user-model.js';
import { inputsOf, outputsOf, type Sizes, type ValueMap } from './values.js';

/** A value from a run. */
export interface RunValue {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array | Int32Array | Uint8Array | Float64Array | Uint16Array | BigUint64Array;
}

/** Runs a model once for each batch of images and returns all outputs. */
export type RunModel = (
  model: Uint8Array,
  batches: readonly { readonly name: string; readonly dims: readonly number[]; readonly data: Float32Array }[],
) => Promise<ReadonlyMap<string, RunValue>[]>;

/** Findings from running a graph on one and on two images. */
export interface Probed {
  /** Sizes of every value, for one image and for two. */
  readonly shapes: ReadonlyMap<string, readonly [readonly number[], readonly number[]]>;
  /** Values that do not depend on the images but that a node on images needs; for one image and for two. */
  readonly values: ReadonlyMap<string, readonly [RunValue, RunValue]>;
  /** Largest difference between the logits of two images together and of each alone, relative to the largest logit. */
  readonly mixing: number;
}

/** The logits as float32, whatever they are. */
const FLOATS = 'logits as floats';
const sizeOf = (name: string): string => `size of ${name}`;

/** Operators whose first output has the sizes of their first input: no need to measure it. */
const shapeKeeping = new Set([
  ...['Identity', 'Dropout', 'Cast', 'Relu', 'LeakyRelu', 'PRelu', 'Elu', 'Selu', 'Celu', 'ThresholdedRelu', 'Gelu'],
  ...['Sigmoid', 'HardSigmoid', 'HardSwish', 'Mish', 'Softplus', 'Softsign', 'Tanh', 'Erf', 'Clip', 'Abs', 'Neg'],
  ...['Exp', 'Log', 'Sqrt', 'Reciprocal', 'Floor', 'Ceil', 'Round', 'Sign', 'Softmax', 'LogSoftmax', 'LRN'],
  ...['BatchNormalization', 'InstanceNormalization', 'LayerNormalization', 'GroupNormalization', 'RMSNormalization'],
]);

/** Element-wise operators, whose inputs are broadcast to one size. */
const broadcasting = new Set([
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'Mod', 'Max', 'Min', 'Sum', 'Mean', 'And', 'Or', 'Xor', 'Where'],
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'],
]);

/** Whether the sizes of a node's first output follow from those of its inputs. */
export const isSized = ({ op_type }: NodeMessage): boolean => shapeKeeping.has(op_type) || broadcasting.has(op_type);

/** Sizes of a node's first output, from those of its inputs. */
function sizesBehind(node: NodeMessage, sizes: ReadonlyMap<string, Sizes>, budget: Budget): Sizes {
  const [first, ...rest] = inputsOf(node).map((name) => sizes.get(name)!);
  if (shapeKeeping.has(node.op_type)) return first!;
  return rest.reduce<Sizes>((a, b) => {
    budget.steps(a[0].length + b[0].length);
    return [broadcast(a[0], b[0]), broadcast(a[1], b[1])];
  }, first!);
}

/** ONNX's rule: sizes are aligned at the last axis, and a size of 1 is repeated. */
function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a];
  const missing = long.length - short.length;
  return long.map((size, axis) => (axis < missing || short[axis - missing] === 1 ? size : short[axis - missing]!));
}

/**
 * Runs a graph on one and on two images (or, `alone`, on one only) and measures the size of every value in ONNX Runtime: exact for any operator, and
 * image-sized values stay inside the run.
 */
export async function probe(model: UserModel, map: ValueMap, run: RunModel, alone = false): Promise<Probed> {
  const valued = valuesWanted(map);
  const { channels, height, width, type, value: name } = model.input;
  const size = channels * height * width;
  const images = noise(2 * size, type === dataTypes.uint8);
  const batch = (from: number, count: number) => {
    return { name, dims: [count, channels, height, width], data: images.subarray(from * size, (from + count) * size) };
  };
  const asked = [name, ...map.nodes.flatMap((node) => (isSized(node) ? outputsOf(node).slice(1) : outputsOf(node)))];
  const graph = probeGraph(model, map, asked, valued);
  const results = await run(graph, alone ? [batch(0, 1)] : [batch(0, 1), batch(1, 1), batch(0, 2)]);
  const [first, second, both] = (alone ? [results[0], results[0], results[0]] : results) as [Results, Results, Results];
  const sizes = (found: Results, value: string): number[] =>
    Array.from(found.get(sizeOf(value))!.data as BigInt64Array, Number);
  const weights = model.file.model.graph.initializer.map(({ name: weight, dims: of }): [string, Sizes] => {
    const fixed = (of ?? []).map(Number);
    return [weight, [fixed, fixed]];
  });
  const sized = asked.map((value): [string, Sizes] => [value, [sizes(first, value), sizes(both, value)]]);
  const shapes = new Map<string, Sizes>([...weights, ...sized]);
  for (const node of map.nodes) {
    if (isSized(node)) shapes.set(node.output[0]!, sizesBehind(node, shapes, model.file.budget));
  }
  return {
    shapes,
    values: new Map(valued.map((value) => [value, [first.get(value)!, both.get(value)!] as const])),
    mixing: mixingOf(
      [first, second].map((found) => found.get(FLOATS)!),
      both.get(FLOATS)!,
    ),
  };
}

type Results = ReadonlyMap<string, RunValue>;

/** Values that do not depend on the images but that a node on images needs. */
function valuesWanted({ nodes, kinds, inflated }: ValueMap): string[] {
  const produced = new Set(nodes.flatMap(outputsOf));
  const needed = nodes
    .filter((node) => outputsOf(node).some((name) => kinds.get(name) !== 'constant'))
    .flatMap((node) => inputsOf(node))
    .filter((name) => produced.has(name) && kinds.get(name) !== 'data' && !inflated.has(name));
  return [...new Set(needed)];
}

function probeGraph(model: UserModel, map: ValueMap, sized: readonly string[], valued: readonly string[]): Uint8Array {
  const { file, input, logits } = model;
  const { graph } = file.model;
  const shapeNodes = sized.map((name): NodeMessage => {
    return { op_type: 'Shape', name: sizeOf(name), input: [name], output: [sizeOf(name)], attribute: [] };
  });
  const used = new Set(map.nodes.flatMap(inputsOf));
  const to = new Rewriter('probe');
  to.node('Cast', [logits], { to: dataTypes.float }, FLOATS);
  const outputs = new Set([...shapeNodes.flatMap(({ output }) => output), ...valued, FLOATS]);
  const probing: GraphMessage = {
    name: 'probe',
    node: [...withoutIdentities(map.nodes, new Set([...outputs, logits])), ...shapeNodes, ...to.graph().node],
    initializer: graph.initializer.filter(({ name }) => used.has(name)),
    input: [withOpenSize(graph.input.find(({ name }) => name === input.value)!, input)],
    // ONNX Runtime infers the types.
    output: [...outputs].map((name) => ({ name }) as ValueInfoMessage),
  };
  return encodeModel({ ...file.model, graph: probing, metadata_props: [] });
}

/** Removes Identity nodes, which cost ONNX Runtime as much as others when it opens a graph. */
function withoutIdentities(nodes: readonly NodeMessage[], kept: ReadonlySet<string>): NodeMessage[] {
  const names = new Map<string, string>();
  const named = (name: string): string => names.get(name) ?? name;
  return nodes.flatMap((node) => {
    const [from, to] = [node.input[0], node.output[0]];
    if (node.op_type === 'Identity' && from !== undefined && to !== undefined && !kept.has(to)) {
      names.set(to, named(from));
      return [];
    }
    return [{ ...node, input: node.input.map(named) }];
  });
}

/** The input with an open number of images, even if the file fixes it. */
export function withOpenSize(
  info: ValueInfoMessage,
  { channels, height, width }: UserModel['input'],
): ValueInfoMessage {
  const { elem_type } = info.type.tensor_type;
  const dim = [{ dim_param: 'batch' }, ...[channels, height, width].map((dim_value) => ({ dim_value }))];
  return { name: info.name, type: { tensor_type: { elem_type, shape: { dim } } } };
}

/** Deterministic numbers in the range of normalised images, or bytes. */
export function noise(count: number, bytes: boolean, seed = 12345): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return bytes ? state >>> 24 : (state / 2 ** 32) * 4 - 2;
  });
}

function mixingOf(alone: readonly RunValue[], together: RunValue): number {
  const one = alone[0]!.data.length;
  if (together.data.length !== 2 * one) return Number.POSITIVE_INFINITY;
  let [difference, largest] = [0, 1e-30];
  alone.forEach(({ data }, image) => {
    for (let i = 0; i < one; i++) {
      const value = Number(data[i]);
      largest = Math.max(largest, Math.abs(value));
      difference = Math.max(difference, Math.abs(value - Number(together.data[image * one + i])));
    }
  });
  return Number.isFinite(largest) ? difference / largest : Number.POSITIVE_INFINITY;
}

/** ONNX's codes of the types that a run returns. */
const elementTypes: Readonly<Record<string, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
}; // prettier-ignore

/** Converts a run's value to a file's constant. */
export function asConstant(name: string, { type, dims, data }: RunValue): TensorMessage {
  const data_type = elementTypes[type];
  if (data_type === undefined) throw new Error(`${name}: a constant of type ${type}`);
  return { name, dims, data_type, raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}
