import { InputError } from '../../errors.js';
import { type AttributeMessage, dataTypes, type GraphMessage, type NodeMessage, type TensorMessage } from '../proto.js';

/** What a value depends on: `constant`: nothing; `shape`: only the input's sizes; `data`: the images' content. */
export type ValueKind = 'constant' | 'shape' | 'data';

/** A graph's nodes in topological order, and what each value depends on. */
export interface ValueMap {
  readonly nodes: readonly NodeMessage[];
  readonly kinds: ReadonlyMap<string, ValueKind>;
  /** Constants that stay nodes, because they are large or quantised. */
  readonly inflated: ReadonlySet<string>;
}

/** Sizes of a value for one image and for two. */
export type Sizes = readonly [readonly number[], readonly number[]];

/** The only axis whose size depends on the number of images. */
export function openAxis([one, two]: Sizes): number | undefined {
  if (one.length !== two.length) return undefined;
  const open = one.flatMap((size, axis) => (size === two[axis] ? [] : [axis]));
  return open.length === 1 ? open[0] : undefined;
}

/** The axis that has twice the size for two images, if all others have the same. */
export function batchAxis(sizes: Sizes | undefined): number | undefined {
  const open = sizes && openAxis(sizes);
  return open !== undefined && sizes![1][open] === 2 * sizes![0][open]! ? open : undefined;
}

/** A node's inputs, without omitted ones. */
export const inputsOf = (node: NodeMessage): string[] => (node.input ?? []).filter((name) => name !== '');
/** A node's outputs, without omitted ones. */
export const outputsOf = (node: NodeMessage): string[] => (node.output ?? []).filter((name) => name !== '');

export const attributeOf = ({ attribute }: NodeMessage, name: string): AttributeMessage | undefined =>
  (attribute ?? []).find((each) => each.name === name);
/** @param usual where the attribute is absent */
export const intOf = (node: NodeMessage, name: string, usual: number): number =>
  Number(attributeOf(node, name)?.i ?? usual);
export const intsOf = (node: NodeMessage, name: string): number[] | undefined =>
  attributeOf(node, name)?.ints?.map(Number);
export const textOf = (node: NodeMessage, name: string): string | undefined => {
  const bytes = attributeOf(node, name)?.s;
  return bytes && new TextDecoder().decode(bytes);
};

/** Nodes of a graph and of its branches. Iterative, because branches may nest deeply. */
export function* nodesOf(graph: GraphMessage): Generator<NodeMessage> {
  const pending = [graph];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const node of at.node) {
      yield node;
      for (const { g } of node.attribute ?? []) if (g != null) pending.push(g);
    }
  }
}

/** The node that produces each value. */
export const producersOf = (nodes: readonly NodeMessage[]): Map<string, NodeMessage> =>
  new Map(nodes.flatMap((node) => outputsOf(node).map((name): [string, NodeMessage] => [name, node])));

/** Operators that make many numbers of few, and the one that dequantises weights; a `Cast` of narrow weights counts, too. */
const inflating = new Set(
  'ConstantOfShape Expand Tile EyeLike OneHot Range Resize Upsample Pad DequantizeLinear'.split(' '),
);

/**
 * Sorts the nodes that an output needs, and determines what each value depends on.
 *
 * @param wanted the output
 * @throws InputError if a value has no source or depends on itself
 */
export function mapValues(graph: GraphMessage, input: string, wanted: string, path: string): ValueMap {
  const kinds = new Map<string, ValueKind>(graph.initializer.map(({ name }) => [name, 'constant']));
  kinds.set(input, 'data');
  const narrow = new Set(graph.initializer.filter(isNarrowWeight).map(({ name }) => name));
  const inflated = new Set<string>();
  const nodes = neededNodes(graph.node, kinds, [wanted], path);
  for (const node of nodes) {
    const kind = kindOf(node, kinds);
    const inflates = inflating.has(node.op_type) || (node.op_type === 'Cast' && narrow.has(node.input[0]!));
    const isInflated = kind === 'constant' && (inflates || inputsOf(node).some((name) => inflated.has(name)));
    for (const name of outputsOf(node)) {
      kinds.set(name, kind);
      if (isInflated) inflated.add(name);
    }
  }
  return { nodes, kinds, inflated };
}

export const isEightBitWeight = ({ data_type, dims }: TensorMessage): boolean =>
  dims.length > 1 && (data_type === uint8 || data_type === int8);

const isNarrowWeight = (weight: TensorMessage): boolean =>
  isEightBitWeight(weight) || (weight.dims.length > 1 && weight.data_type === float16);

function kindOf(node: NodeMessage, kinds: ReadonlyMap<string, ValueKind>): ValueKind {
  const found = inputsOf(node).map((name) => kinds.get(name)!);
  if (found.every((kind) => kind === 'constant')) return 'constant';
  if (node.op_type === 'Shape' || node.op_type === 'Size') return 'shape';
  return found.includes('data') ? 'data' : 'shape';
}

/** The nodes that values need, in topological order. Iterative, because graphs are deep. */
export function neededNodes(
  nodes: readonly NodeMessage[],
  given: ReadonlyMap<string, unknown>,
  wanted: readonly string[],
  path: string,
): NodeMessage[] {
  const producers = producersOf(nodes);
  const sorted: NodeMessage[] = [];
  const state = new Map<NodeMessage, 'open' | 'done'>();
  const stack = [...wanted].reverse();
  while (stack.length > 0) {
    const name = stack.at(-1)!;
    const node = producers.get(name);
    if (given.has(name) || (node !== undefined && state.get(node) === 'done')) {
      stack.pop();
      continue;
    }
    if (node === undefined) throw new InputError(`${path}: nothing computes ${name}; valid: a whole graph`);
    const missing = inputsOf(node).filter((input) => {
      const producer = producers.get(input);
      return !given.has(input) && (producer === undefined || state.get(producer) !== 'done');
    });
    if (missing.length === 0) {
      state.set(node, 'done');
      sorted.push(node);
      stack.pop();
    } else if (state.get(node) === 'open') {
      throw new InputError(`${path}: ${node.op_type} ${name} needs its own result; valid: a graph without cycles`);
    } else {
      state.set(node, 'open');
      for (const input of missing.reverse()) stack.push(input);
    }
  }
  return sorted;
}

/** Operators that keep the order and the values of numbers. */
const keeping = /^(Identity|Cast|Flatten|Reshape|Squeeze|QuantizeLinear|DequantizeLinear)$/;
const MOST_KEEPING = 16;

/** The value before an output's softmax or sigmoid, which is `end`. */
export function beforeSoftmax(nodes: readonly NodeMessage[], output: string): { value: string; end?: string } {
  const producers = producersOf(nodes);
  let name = output;
  for (let i = 0; i < MOST_KEEPING; i++) {
    const node = producers.get(name);
    const [input = ''] = node?.input ?? [];
    const end = /^(?:QLinear)?(Softmax|Sigmoid)$/.exec(node?.op_type ?? '')?.[1];
    // The rows that `overTwoAxes` wrote for an old softmax.
    const rows = producers.get(input);
    const value = rows?.op_type === 'Flatten' && input.startsWith('dgate/') ? rows.input[0]! : input;
    if (end !== undefined) return { value, end };
    if (node === undefined || !keeping.test(node.op_type)) break;
    name = input;
  }
  return { value: output };
}

/** Nodes by the first of these values that needs them, and the values that each piece hands on to later ones. */
export function splitNodes(nodes: readonly NodeMessage[], input: string, ends: readonly string[]) {
  const producers = producersOf(nodes);
  const pieceOf = new Map<NodeMessage, number>();
  for (const [piece, end] of ends.entries()) {
    const pending = [end];
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const node = producers.get(name);
      if (node === undefined || pieceOf.has(node)) continue;
      pieceOf.set(node, piece);
      pending.push(...inputsOf(node));
    }
  }
  const pieces = ends.map((_, piece) => nodes.filter((node) => pieceOf.get(node) === piece));
  const lastUse = new Map<string, number>();
  for (const [piece, own] of pieces.entries()) for (const name of own.flatMap(inputsOf)) lastUse.set(name, piece);
  const made = [input];
  const handedOn = pieces.map((own, piece) => {
    made.push(...own.flatMap(outputsOf));
    return made.filter((name) => (lastUse.get(name) ?? -1) > piece);
  });
  return { pieces, handedOn };
}

/** The numbers of a float32 tensor; undefined for other types. */
export function floatsOf(tensor: TensorMessage | undefined): Float32Array | undefined {
  if (tensor === undefined || tensor.data_type !== dataTypes.float) return undefined;
  const { raw_data, float_data = [] } = tensor;
  if (float_data.length > 0) return Float32Array.from(float_data);
  const bytes = Uint8Array.from(raw_data ?? []);
  return bytes.length % 4 === 0 ? new Float32Array(bytes.buffer) : undefined;
}

/** The numbers of an int64 tensor; undefined for other types. */
export function wholeNumbersOf(tensor: TensorMessage | undefined): BigInt64Array | undefined {
  const bytes = Uint8Array.from(tensor?.raw_data ?? []);
  return tensor?.data_type === dataTypes.int64 && bytes.length % 8 === 0 ? new BigInt64Array(bytes.buffer) : undefined;
}

export interface Format {
  /** TensorProto.DataType. */
  readonly type: number;
  /** Names of the constants that dequantise 8-bit numbers: scale, and zero point if any. */
  readonly quantised?: readonly string[];
  /** In ONNX Runtime's own layout, which depends on the processor. */
  readonly isBlocked?: true;
}

const { float, float16, uint8, int8, int32, int64, bool } = dataTypes;
/** ONNX Runtime's operators on its blocked layout (NCHWc). */
export const BLOCKED_DOMAIN = 'com.microsoft.nchwc';
/** The domains of ONNX's own operators, and of those that ONNX Runtime's optimiser writes. */
export const domains: ReadonlySet<string | undefined> = new Set([
  undefined,
  '',
  'ai.onnx',
  'com.microsoft',
  BLOCKED_DOMAIN,
]);

/** Operators with results of one type. */
const fixedTypes = new Map(
  Object.entries({
    [int64]: 'Shape Size ArgMax ArgMin NonZero',
    [bool]: 'Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Xor IsNaN IsInf',
    [int32]: 'ConvInteger MatMulInteger',
    [float]: 'DynamicQuantizeMatMul MatMulIntegerToFloat',
    [uint8]: 'DynamicQuantizeLinear',
  }).flatMap(([type, ops]) => ops.split(' ').map((op): [string, number] => [op, Number(type)])),
);

/** Position of the scale among the inputs of quantising operators; the zero point comes next. */
const scaleAt: Readonly<Record<string, number>> = {
  ...{ QuantizeLinear: 1, QLinearConv: 6, QLinearMatMul: 6, QLinearAdd: 6, QLinearMul: 6, QGemm: 7, QLinearConcat: 0 },
  ...{ QLinearAveragePool: 3, QLinearGlobalAveragePool: 3, QLinearLeakyRelu: 3, QLinearSigmoid: 3, QLinearSoftmax: 3 },
  ...{ QLinearReduceMean: 3, QLinearWhere: 7 },
};

/**
 * The formats of all values: by default that of the operator's first input.
 *
 * @param nodes in topological order
 * @param constants by name; only their types are read
 */
export function formatsOf(
  nodes: readonly NodeMessage[],
  constants: ReadonlyMap<string, TensorMessage>,
  input: { readonly name: string; readonly type: number },
): Map<string, Format> {
  const formats = new Map<string, Format>([[input.name, { type: input.type }]]);
  for (const [name, { data_type }] of constants) formats.set(name, { type: data_type });
  for (const node of nodes) {
    const format = formatBehind(node, formats);
    node.output.forEach((name, i) => {
      if (name !== '') formats.set(name, i === 0 ? format : { type: secondType(node, i) ?? format.type });
    });
  }
  return formats;
}

function formatBehind(node: NodeMessage, formats: ReadonlyMap<string, Format>): Format {
  const of = (at: number): Format | undefined => formats.get(node.input?.[at] ?? '');
  const typeOf = (at: number): number => of(at)?.type ?? float;
  const { op_type: op } = node;
  const scale = scaleAt[op];
  if (scale !== undefined && (node.input[scale] ?? '') !== '') {
    const quantised = node.input.slice(scale, scale + 2).filter((name) => name !== '');
    return { type: of(scale + 1)?.type ?? (intOf(node, 'output_dtype', 0) || uint8), quantised };
  }
  const fixed = fixedTypes.get(op);
  if (fixed !== undefined) return { type: fixed };
  if (op === 'QGemm') return { type: float };
  if (op === 'Cast') return { type: intOf(node, 'to', float) };
  if (op === 'DequantizeLinear' || op === 'CastLike' || op === 'Where') return { type: typeOf(1) };
  if (op === 'OneHot') return { type: typeOf(2) };
  if (op === 'Constant' || op === 'ConstantOfShape') return { type: attributeOf(node, 'value')?.t?.data_type ?? float };
  const { type = float, quantised, isBlocked: wasBlocked } = of(0) ?? {};
  const isBlocked = op !== 'ReorderOutput' && (node.domain === BLOCKED_DOMAIN || wasBlocked === true);
  const is8Bit = type === uint8 || type === int8;
  return { type, ...(quantised !== undefined && is8Bit && { quantised }), ...(isBlocked && { isBlocked }) };
}

function secondType({ op_type: op }: NodeMessage, output: number): number | undefined {
  if (op === 'DynamicQuantizeLinear') return output === 1 ? float : uint8;
  if (op === 'Dropout') return bool;
  return op === 'TopK' || op === 'MaxPool' ? int64 : undefined;
}
