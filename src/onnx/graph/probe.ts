import type { Budget } from '../../json.js';
import { elementCount } from '../../tensor.js';
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
import { inputsOf, intOf, intsOf, outputsOf, type Sizes, type ValueMap, wholeNumbersOf } from './values.js';

export interface RunValue {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array | Int32Array | Uint8Array | Float64Array | Uint16Array | BigUint64Array;
}

/** Runs a model once for each batch of images. @returns all outputs of each run */
export type RunModel = (
  model: Uint8Array,
  batches: readonly { readonly name: string; readonly dims: readonly number[]; readonly data: Float32Array }[],
) => Promise<ReadonlyMap<string, RunValue>[]>;

/** Results of running a graph on one image and on two. */
export interface Probed {
  readonly shapes: ReadonlyMap<string, Sizes>;
  /** Computed values that do not depend on the images' content but are used with it; for one image and for two. */
  readonly values: ReadonlyMap<string, readonly [RunValue, RunValue]>;
  /** Largest difference between the logits of two images together and alone, relative to the largest logit. */
  readonly mixing: number;
}

/** Name of the logits as float32. */
const FLOATS = 'logits as floats';
const sizeOf = (name: string): string => `size of ${name}`;

/** Operators whose first output has the sizes of their first input. */
const shapeKeeping = new Set(
  (
    'Identity Dropout Cast Relu LeakyRelu PRelu Elu Selu Celu ThresholdedRelu Gelu Sigmoid HardSigmoid HardSwish Mish ' +
    'Softplus Softsign Tanh Erf Clip Abs Neg Not Exp Log Sqrt Reciprocal Floor Ceil Round Sign Softmax LogSoftmax LRN ' +
    'BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization'
  ).split(' '),
);

/** Element-wise operators, whose inputs are broadcast to one size. */
const broadcasting = new Set(
  'Add Sub Mul Div Pow Mod Max Min Sum Mean And Or Xor Where Equal Greater GreaterOrEqual Less LessOrEqual'.split(' '),
);

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

/** Reads the axes or indices that a node names in an attribute or a short constant; from 0. */
export const namedAxes =
  (constants: ReadonlyMap<string, TensorMessage>, { shapes, values }: Pick<Probed, 'shapes' | 'values'>) =>
  (node: NodeMessage, before: readonly number[], after: readonly number[]): number[] | undefined => {
    const [, name = ''] = node.input;
    if ((shapes.get(name)?.[0] ?? []).some((size) => size > 8)) return undefined;
    const found = intsOf(node, 'axes') ?? wholeNumbersOf(constants.get(name)) ?? values.get(name)?.[0].data;
    const rank = node.op_type === 'Unsqueeze' ? after.length : before.length;
    return found && Array.from(found as ArrayLike<number | bigint>, (axis) => (Number(axis) + rank) % rank);
  };

/** The axis with as many numbers before it; in a matrix, which multiplies rows, the rows' inner part. */
function axisReshaped(axis: number, before: readonly number[], after: readonly number[]): number | undefined {
  const outer = elementCount(before.slice(0, Math.ceil(axis)));
  const found = after.findIndex((_, i) => elementCount(after.slice(0, i)) === outer);
  if (found === 1 && after.length === 2 && before.length > 2) return 0.5;
  return found < 0 ? undefined : found;
}

/**
 * The axis of the images behind a node; undefined if unknown. Half an axis more means the inner part of an axis: rows [tokens x
 * images, size], as attention with the tokens first makes them for its products.
 *
 * @param listed axes that it names
 */
export function axisAfter(
  node: NodeMessage,
  axis: number,
  before: readonly number[],
  after: readonly number[],
  listed: readonly number[] | undefined,
): number | undefined {
  const { op_type: op } = node;
  if (op === 'Transpose') {
    const perm = intsOf(node, 'perm');
    return perm === undefined ? before.length - 1 - axis : perm.indexOf(axis);
  }
  if (op === 'Reshape' || op === 'Flatten') return axisReshaped(axis, before, after);
  if (op === 'Gather') {
    const of = (intOf(node, 'axis', 0) + before.length) % before.length;
    return of === axis ? undefined : axis + (of < axis ? after.length - before.length : 0);
  }
  if (/^Reduce/.test(op)) return axis === 0 && after[0] === before[0] ? 0 : undefined;
  if (op === 'Squeeze') {
    const gone = listed ?? before.flatMap((size, i) => (size === 1 ? [i] : []));
    return gone.includes(axis) ? undefined : axis - gone.filter((each) => each < axis).length;
  }
  if (op === 'Unsqueeze') {
    return after.flatMap((_, i) => (listed?.includes(i) ? [] : [i]))[axis];
  }
  if (after.length === before.length) return axis;
  // Sizes are aligned at the last axis.
  return after.length > before.length ? axis + after.length - before.length : undefined;
}

/**
 * Measures the sizes of all values by running the graph on one image and on two; `alone`: on one only. ONNX Runtime returns
 * the sizes, which are exact for any operator, but not the values.
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
  const computed = asked.map((value): [string, Sizes] => [value, [sizes(first, value), sizes(both, value)]]);
  const shapes = new Map<string, Sizes>([...weights, ...computed]);
  for (const node of map.nodes) {
    if (isSized(node)) shapes.set(node.output[0]!, sizesBehind(node, shapes, model.file.budget));
  }
  return {
    shapes,
    values: new Map(valued.map((value) => [value, [first.get(value)!, both.get(value)!] as const])),
    mixing: mixingOf([first.get(FLOATS)!, second.get(FLOATS)!], both.get(FLOATS)!),
  };
}

type Results = ReadonlyMap<string, RunValue>;

/** Computed values that do not depend on the images' content but are used with it. */
function valuesWanted({ nodes, kinds, inflated }: ValueMap): string[] {
  const produced = new Set(nodes.flatMap(outputsOf));
  const needed = nodes
    .filter((node) => outputsOf(node).some((name) => kinds.get(name) !== 'constant'))
    .flatMap((node) => inputsOf(node))
    .filter((name) => produced.has(name) && kinds.get(name) !== 'data' && !inflated.has(name));
  return [...new Set(needed)];
}

function probeGraph(model: UserModel, map: ValueMap, shaped: readonly string[], valued: readonly string[]): Uint8Array {
  const { file, input, logits } = model;
  const { graph } = file.model;
  const shapeNodes = shaped.map((name): NodeMessage => {
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
    output: [...outputs].map((name) => ({ name }) as ValueInfoMessage),
  };
  return encodeModel({ ...file.model, graph: probing, metadata_props: [] });
}

/** Removes Identity nodes: they slow down the opening of a graph like any other node. */
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
function withOpenSize(info: ValueInfoMessage, { channels, height, width }: UserModel['input']): ValueInfoMessage {
  const { elem_type } = info.type.tensor_type;
  const dim = [{ dim_param: 'batch' }, ...[channels, height, width].map((dim_value) => ({ dim_value }))];
  return { name: info.name, type: { tensor_type: { elem_type, shape: { dim } } } };
}

/** Deterministic pseudo-random bytes, or numbers in the range of normalised images. */
export function noise(count: number, bytes: boolean, seed = 12345): Float32Array {
  let state = seed;
  const numbers = new Float32Array(count); // filled in a loop: Float32Array.from takes ten times as long
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    numbers[i] = bytes ? state >>> 24 : (state / 2 ** 32) * 4 - 2;
  }
  return numbers;
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

/** ONNX Runtime's names of TensorProto.DataType 1, 2, ... */
const typeNames = 'float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64'.split(' ');

/** Converts a run's value to a constant of a file. */
export function asConstant(name: string, { type, dims, data }: RunValue): TensorMessage {
  const data_type = typeNames.indexOf(type) + 1;
  if (data_type === 0 || type === 'string') throw new Error(`${name}: a constant of type ${type}`);
  return { name, dims, data_type, raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** The bytes of a run's numbers, not copied. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: RunValue['data']): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength);
