import { InputError } from '../../errors.js';
import { Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type NodeMessage, type TensorMessage } from '../proto.js';
import type { UserFile } from './read.js';
import { attributeOf, floatsOf, inputsOf, nodesOf, producersOf } from './values.js';

/** An exit in a user's file: an `If` whose cheaper branch returns an answer that is already computed. */
interface FoundExit {
  /** Name of the `If`'s condition. */
  readonly condition: string;
  /** The operators that compute the compared value, in order: `Softmax, ReduceMax`. */
  readonly confidence: string;
  /** Name of the compared value, if the condition is a comparison. */
  readonly compared?: string;
  /** Relation to the threshold of images that leave. */
  readonly relation?: '>' | '>=' | '<' | '<=';
  /** If it is a constant. */
  readonly threshold?: number;
}

/** The graph that leads to one exit, without any `If`. */
interface ExitPath {
  readonly graph: GraphMessage;
  /** The exits before it, in order. */
  readonly passed: readonly FoundExit[];
}

type Branch = 'then_branch' | 'else_branch';
const MOST_EXITS = 32;

/** Operators whose multiplications are counted. */
const isCounted = (op: string): boolean => /Conv|Gemm|MatMul|Einsum|Attention/.test(op);

/**
 * The paths through a graph with exits: to each exit, and past all of them. Exits may be nested, or one behind the other: an
 * image that has left takes the cheaper branch of each later `If`.
 *
 * @returns undefined for a graph without exits
 * @throws InputError for too many exits
 */
export function exitPaths(file: UserFile): ExitPath[] | undefined {
  const { graph } = file.model;
  if (!graph.node.some((node) => leavingBranch(node) !== undefined)) return undefined;
  const past = pathTo(file, Number.POSITIVE_INFINITY);
  if (past.passed.length > MOST_EXITS) {
    throw new InputError(`${file.path}: ${past.passed.length} exits; valid: at most ${MOST_EXITS}`);
  }
  return [...past.passed.map((_, exit) => pathTo(file, exit)), past];
}

/** A graph or branch that is being copied. */
interface Frame {
  readonly nodes: readonly NodeMessage[];
  next: number;
  /** New names of the branch's values; others are in the frames outside. */
  readonly names: Map<string, string>;
  readonly outside: Frame | undefined;
  /** Outputs of the branch, and of the `If`. */
  readonly results: readonly (readonly [string, string])[];
}

/** The graph in which images pass this many exits and leave at the next. */
function pathTo(file: UserFile, passes: number): ExitPath {
  const { graph } = file.model;
  const to = new Rewriter('exits');
  const initializer = [...graph.initializer];
  const passed: { condition: string; leaves: Branch }[] = [];
  let frame: Frame | undefined = { nodes: graph.node, next: 0, names: new Map(), outside: undefined, results: [] };
  const named = (name: string, from: Frame): string => {
    let at: Frame | undefined = from;
    for (; at !== undefined; at = at.outside) {
      file.budget.steps();
      const found = at.names.get(name);
      if (found !== undefined) return found;
    }
    return name;
  };
  let met = 0;
  while (frame !== undefined) {
    const current: Frame = frame;
    const node = current.nodes[current.next++];
    if (node === undefined) {
      for (const [inside, outside] of current.results) to.node('Identity', [named(inside, current)], {}, outside);
      frame = current.outside;
      continue;
    }
    file.budget.steps(8);
    const input = node.input.map((name) => named(name, current));
    const leaves = leavingBranch(node);
    const output = node.output.map((name) => {
      if (current.outside === undefined || name === '') return name;
      current.names.set(name, to.fresh(name));
      return current.names.get(name)!;
    });
    if (leaves === undefined) {
      to.copy({ ...node, input, output });
      continue;
    }
    const stays = leaves === 'then_branch' ? 'else_branch' : 'then_branch';
    if (met < passes) passed.push({ condition: input[0]!, leaves });
    const branch = branchOf(node, met++ < passes ? stays : leaves)!;
    const names = new Map<string, string>();
    for (const tensor of branch.initializer) {
      names.set(tensor.name, to.fresh(tensor.name));
      initializer.push({ ...tensor, name: names.get(tensor.name)! });
    }
    const results = branch.output.map(({ name }, i) => [name, output[i] ?? to.fresh('unused')] as const);
    frame = { nodes: branch.node, next: 0, names, outside: current, results };
  }
  const whole = { ...graph, node: to.graph().node, initializer };
  const described: FoundExit[] = [];
  for (const { condition, leaves } of passed) described.push(describeExit(whole, condition, leaves, described));
  return { graph: whole, passed: described };
}

const branchOf = (node: NodeMessage, name: Branch): GraphMessage | undefined => attributeOf(node, name)?.g ?? undefined;

/** The branch of an `If` that computes less; undefined if both compute as much, and for other nodes. */
function leavingBranch(node: NodeMessage): Branch | undefined {
  if (node.op_type !== 'If') return undefined;
  const [yes, no] = [branchOf(node, 'then_branch'), branchOf(node, 'else_branch')];
  if (yes === undefined || no === undefined) return undefined;
  const [a, b] = [weightOf(yes), weightOf(no)];
  return a === b ? undefined : a < b ? 'then_branch' : 'else_branch';
}

/** Number of convolutions and products in a graph and its branches. */
function weightOf(graph: GraphMessage): number {
  let weight = 0;
  for (const { op_type } of nodesOf(graph)) if (isCounted(op_type)) weight++;
  return weight;
}

/** Operators between a comparison and a condition; `Not` negates it. */
const carrying = /^(Identity|Cast|Not|Squeeze|Unsqueeze|Reshape|Flatten|ReduceMax|ReduceMin|Gather|And|Or)$/;
const relations = { Greater: '>', GreaterOrEqual: '>=', Less: '<', LessOrEqual: '<=' } as const;
type Relation = (typeof relations)[keyof typeof relations];
/** The relation with exchanged sides, and its negation. */
const exchanged = { '>': '<', '>=': '<=', '<': '>', '<=': '>=' } as const;
const opposite = { '>': '<=', '>=': '<', '<': '>=', '<=': '>' } as const;
const MOST_STEPS = 16;

/** @param before earlier exits: a condition may also contain their comparisons */
function describeExit(graph: GraphMessage, condition: string, leaves: Branch, before: readonly FoundExit[]): FoundExit {
  const producers = producersOf(graph.node);
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const found: FoundExit[] = [];
  const pending = [{ at: condition, isTurned: leaves === 'else_branch' }];
  for (let step = 0; step < MOST_STEPS; step++) {
    const { at, isTurned } = pending.pop() ?? {};
    const node = producers.get(at ?? '');
    if (node === undefined) continue;
    if (Object.hasOwn(relations, node.op_type)) {
      const [left = '', right = ''] = node.input;
      const numbers = [left, right].map((name) => numberOf(name, producers, weights));
      // The threshold is the side that is not computed.
      const isRight = numbers[1] !== undefined || !producers.has(right);
      const given: Relation = relations[node.op_type as keyof typeof relations];
      const straight = isRight ? given : exchanged[given];
      const [compared, threshold] = isRight ? [left, numbers[1]] : [right, numbers[0]];
      const relation = isTurned === true ? opposite[straight] : straight;
      const confidence = operatorsBefore(compared, producers);
      found.push({ condition, confidence, compared, relation, ...(threshold !== undefined && { threshold }) });
    } else if (carrying.test(node.op_type)) {
      const isOther = (node.op_type === 'Not') !== (isTurned === true);
      pending.push(...inputsOf(node).map((name) => ({ at: name, isTurned: isOther })));
    }
  }
  const own = found.find(({ compared }) => !before.some((exit) => exit.compared === compared));
  return own ?? found[0] ?? { condition, confidence: operatorsBefore(condition, producers) };
}

/** The number of a constant, also behind operators that change only its type or shape. */
function numberOf(
  name: string,
  producers: ReadonlyMap<string, NodeMessage>,
  weights: ReadonlyMap<string, TensorMessage>,
): number | undefined {
  let at = name;
  for (let step = 0; step < MOST_STEPS; step++) {
    const node = producers.get(at);
    const constant = node === undefined ? weights.get(at) : attributeOf(node, 'value')?.t;
    const numbers = floatsOf(constant ?? undefined);
    if (numbers !== undefined) return numbers.length === 1 ? numbers[0] : undefined;
    const value = node && attributeOf(node, 'value_float')?.f;
    if (value != null) return Number(value);
    if (node === undefined || !carrying.test(node.op_type)) return undefined;
    at = node.input[0] ?? '';
  }
  return undefined;
}

/** The operators that compute a value, from the product or convolution with the exit's numbers on. */
function operatorsBefore(value: string, producers: ReadonlyMap<string, NodeMessage>): string {
  const found: string[] = [];
  let at = value;
  for (let step = 0; step < MOST_STEPS; step++) {
    const node = producers.get(at);
    if (node === undefined || isCounted(node.op_type)) break;
    if (!/^(Identity|Cast|Squeeze|Unsqueeze|Reshape|Flatten|Constant)$/.test(node.op_type)) found.push(node.op_type);
    at = inputsOf(node).find((name) => producers.has(name)) ?? '';
  }
  return found.reverse().join(', ') || 'a value of its own';
}

/** The graph past all its exits, for new gates. @param notes gets a note on the exits that were removed */
export function pastExits(file: UserFile, notes: string[]): UserFile {
  const past = exitPaths(file)?.at(-1);
  if (past === undefined) return file;
  const exits = past.passed.map(describe).join('; ');
  notes.push(`its own exits are left out (${exits}): gates are trained anew`);
  return { ...file, model: { ...file.model, graph: withUsedInputs(past.graph) } };
}

/**
 * The graph that leads to an exit, with all its costs: the answer also depends on the comparisons of the passed exits.
 *
 * @param logits name of the output with the answer; the only output by default
 */
export function withPassedExits({ graph, passed }: ExitPath, logits?: string): GraphMessage {
  const output = graph.output.find(({ name }) => name === logits) ?? graph.output[0]!;
  const to = new Rewriter('passed');
  const answer = passed.reduce((value, { compared, condition }) => {
    const number = to.node('Cast', [compared ?? condition], { to: dataTypes.float });
    const most = to.node('ReduceMax', [number], { keepdims: 0 });
    return to.node('Where', [to.node('Equal', [most, most]), value, value]);
  }, output.name);
  const node = [...graph.node, ...to.graph().node];
  return withUsedInputs({ ...graph, node, output: [{ ...output, name: answer }] });
}

/** Removes unused inputs: the thresholds of removed exits. */
function withUsedInputs(graph: GraphMessage): GraphMessage {
  const producers = producersOf(graph.node);
  const needed = new Set<string>();
  const pending = graph.output.map(({ name }) => name);
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (needed.has(at)) continue;
    needed.add(at);
    const node = producers.get(at);
    if (node !== undefined) pending.push(...inputsOf(node));
  }
  return { ...graph, input: graph.input.filter(({ name }) => needed.has(name)) };
}

/** For messages: `Softmax, ReduceMax > 0.9`. */
export const describe = ({ confidence, relation, threshold }: FoundExit): string =>
  relation === undefined
    ? `${confidence}: no comparison`
    : `${confidence} ${relation} ${threshold === undefined ? 'an input' : Number(threshold.toPrecision(6))}`;
