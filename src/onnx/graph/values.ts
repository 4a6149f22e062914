import { InputError } from '../../errors.js';
import { type AttributeMessage, dataTypes, type GraphMessage, type NodeMessage, type TensorMessage } from '../proto.js';

/**
 * What a value of a graph depends on. `constant`: nothing; `shape`: only the sizes of the input, perhaps the number of images;
 * `data`: the images' content.
 */
export type ValueKind = 'constant' | 'shape' | 'data';

/** A graph's nodes in topological order, and what each value depends on. */
export interface ValueMap {
  readonly nodes: readonly NodeMessage[];
  readonly kinds: ReadonlyMap<string, ValueKind>;
  /** Constants that are larger than what they are computed from, or quantised: they stay nodes. */
  readonly inflated: ReadonlySet<string>;
}

/** A node's inputs, without omitted ones. */
export const inputsOf = (node: NodeMessage): string[] => (node.input ?? []).filter((name) => name !== '');
/** A node's outputs, without omitted ones. */
export const outputsOf = (node: NodeMessage): string[] => (node.output ?? []).filter((name) => name !== '');

/** An attribute of a node. */
export const attributeOf = ({ attribute }: NodeMessage, name: string): AttributeMessage | undefined =>
  (attribute ?? []).find((each) => each.name === name);
/** A whole number among a node's attributes. */
export const intOf = (node: NodeMessage, name: string, usual: number): number =>
  Number(attributeOf(node, name)?.i ?? usual);
/** Whole numbers among a node's attributes. */
export const intsOf = (node: NodeMessage, name: string): number[] | undefined =>
  attributeOf(node, name)?.ints?.map(Number);
/** A text among a node's attributes. */
export const textOf = (node: NodeMessage, name: string): string | undefined => {
  const bytes = attributeOf(node, name)?.s;
  return bytes && new TextDecoder().decode(bytes);
};

/** The node that produces each value. */
export const producersOf = (nodes: readonly NodeMessage[]): Map<string, NodeMessage> =>
  new Map(nodes.flatMap((node) => outputsOf(node).map((name): [string, NodeMessage] => [name, node])));

/** Operators that make many numbers of few, and one that tells what 8-bit weights stand for. */
const inflating = new Set([
  ...[
    'ConstantOfShape',
    'Expand',
    'Tile',
    'EyeLike',
    'OneHot',
    'Range',
    'Resize',
    'Upsample',
    'Pad',
    'DequantizeLinear',
  ],
]);

/** Sizes of a value for one image and for two. */
export type Sizes = readonly [readonly number[], readonly number[]];

/** Operators whose result is always a size. */
const sizes = new Set(['Shape', 'Size']);

/**
 * Sorts the nodes that an output needs, and determines what every value depends on.
 *
 * @param wanted the output; nodes that it does not need are dropped
 * @throws InputError if a value has no source or depends on itself
 */
export function mapValues(graph: GraphMessage, input: string, wanted: string, path: string): ValueMap {
  const kinds = new Map<string, ValueKind>(graph.initializer.map(({ name }) => [name, 'constant']));
  kinds.set(input, 'data');
  const inflated = new Set<string>();
  const nodes = neededNodes(graph.node, kinds, [wanted], path);
  for (const node of nodes) {
    const kind = kindOf(node, kinds);
    const isInflated =
      kind === 'constant' && (inflating.has(node.op_type) || inputsOf(node).some((name) => inflated.has(name)));
    for (const name of outputsOf(node)) {
      kinds.set(name, kind);
      if (isInflated) inflated.add(name);
    }
  }
  return { nodes, kinds, inflated };
}

function kindOf(node: NodeMessage, kinds: ReadonlyMap<string, ValueKind>): ValueKind {
  const found = inputsOf(node).map((name) => kinds.get(name)!);
  if (found.every((kind) => kind === 'constant')) return 'constant';
  if (sizes.has(node.op_type)) return 'shape';
  return found.includes('data') ? 'data' : 'shape';
}

/** The nodes that values need, in topological order; iterative, because graphs are deep. */
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

/** The numbers of a float32 tensor; undefined for other types. */
export function floatsOf(tensor: TensorMessage | undefined): Float32Array | undefined {
  if (tensor === undefined || tensor.data_type !== dataTypes.float) return undefined;
  const { raw_data, float_data = [] } = tensor;
  if (float_data.length > 0) return Float32Array.from(float_data);
  const bytes = Uint8Array.from(raw_data ?? []);
  return bytes.length % 4 === 0 ? new Float32Array(bytes.buffer) : undefined;
}
