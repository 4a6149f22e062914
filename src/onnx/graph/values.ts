import { InputError } from '../../errors.js';
import type { GraphMessage, NodeMessage } from '../proto.js';

/**
 * What a value of a graph depends on: `constant`: nothing; `shape`: only on the sizes of the input (and so perhaps on
 * the number of images, never on what they show); `data`: on the images.
 */
export type ValueKind = 'constant' | 'shape' | 'data';

/** A graph's nodes in an order in which they can run, and what each value depends on. */
export interface ValueMap {
  readonly nodes: readonly NodeMessage[];
  readonly kinds: ReadonlyMap<string, ValueKind>;
}

/** Inputs of a node that are there. */
export const inputsOf = (node: NodeMessage): string[] => (node.input ?? []).filter((name) => name !== '');
/** Outputs of a node that are there. */
export const outputsOf = (node: NodeMessage): string[] => (node.output ?? []).filter((name) => name !== '');

/** The node that makes each value. */
export const producersOf = (nodes: readonly NodeMessage[]): Map<string, NodeMessage> =>
  new Map(nodes.flatMap((node) => outputsOf(node).map((name): [string, NodeMessage] => [name, node])));

/** Operators whose result is a size, whatever they are given. */
const sizes = new Set(['Shape', 'Size']);

/**
 * Sorts the nodes that an output needs, and says what every value depends on.
 *
 * @param wanted the output; the other nodes are left out
 * @throws InputError where a value comes from nowhere or from itself
 */
export function mapValues(graph: GraphMessage, input: string, wanted: string, path: string): ValueMap {
  const kinds = new Map<string, ValueKind>(graph.initializer.map(({ name }) => [name, 'constant']));
  kinds.set(input, 'data');
  const nodes: NodeMessage[] = [];
  for (const node of neededNodes(graph.node, kinds, wanted, path)) {
    const kind = kindOf(node, kinds);
    for (const name of outputsOf(node)) kinds.set(name, kind);
    nodes.push(node);
  }
  return { nodes, kinds };
}

function kindOf(node: NodeMessage, kinds: ReadonlyMap<string, ValueKind>): ValueKind {
  const found = inputsOf(node).map((name) => kinds.get(name)!);
  if (found.every((kind) => kind === 'constant')) return 'constant';
  if (sizes.has(node.op_type)) return 'shape';
  return found.includes('data') ? 'data' : 'shape';
}

/** The nodes that a value needs, each behind those that it needs itself; without recursion, graphs are deep. */
function neededNodes(
  nodes: readonly NodeMessage[],
  given: ReadonlyMap<string, unknown>,
  wanted: string,
  path: string,
): NodeMessage[] {
  const producers = producersOf(nodes);
  const sorted: NodeMessage[] = [];
  const state = new Map<NodeMessage, 'open' | 'done'>();
  const stack = [wanted];
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
      stack.push(...missing.reverse());
    }
  }
  return sorted;
}
