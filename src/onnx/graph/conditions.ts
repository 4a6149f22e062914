import { nextFloat } from '../gated-exits.js';
import type { GraphMessage, NodeMessage, TensorMessage } from '../proto.js';
import { attributeOf, floatsOf, inputsOf, producersOf, wholeNumbersOf } from './values.js';

/** An exit in a user's file: an `If` whose cheaper branch returns an answer that is already computed. */
export interface FoundExit {
  /** Name of the `If`'s condition. */
  readonly condition: string;
  /** Whether images that leave fulfil it. */
  readonly isMet: boolean;
  /** The operators that compute the compared value, in order: `Softmax, ReduceMax`. */
  readonly confidence: string;
  /** Name of the compared value, if the condition is one comparison. */
  readonly compared?: string;
  /** Relation to the threshold of images that leave. */
  readonly relation?: Relation;
  /** If it is a constant. */
  readonly threshold?: number;
  /** Name of a threshold that is computed. */
  readonly bound?: string;
}

/** Operators whose multiplications are counted. */
export const isCounted = (op: string): boolean => /Conv|Gemm|MatMul|Einsum|Attention/.test(op);

/** Operators between a comparison and a condition; `Not` negates it. */
const carrying =
  /^(Identity|Cast|Not|Squeeze|Unsqueeze|Reshape|Flatten|ReduceMax|ReduceMin|Gather|And|Or|NonZero|Size)$/;
const relations = { Greater: '>', GreaterOrEqual: '>=', Less: '<', LessOrEqual: '<=' } as const;
type Relation = (typeof relations)[keyof typeof relations];
/** The relation with exchanged sides, and its negation. */
const exchanged = { '>': '<', '>=': '<=', '<': '>', '<=': '>=' } as const;
const opposite = { '>': '<=', '>=': '<', '<': '>=', '<=': '>' } as const;
const MOST_STEPS = 16;

/** Reads the condition of an exit. @param graph a path on which earlier conditions are constants */
export function describeExit(
  graph: GraphMessage,
  { condition, isMet }: Pick<FoundExit, 'condition' | 'isMet'>,
): FoundExit {
  const producers = producersOf(graph.node);
  const weights = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const found: FoundExit[] = [];
  let isPlain = true;
  const pending = [{ at: condition, isTurned: !isMet }];
  for (let step = 0; step < MOST_STEPS && pending.length > 0; step++) {
    const { at, isTurned } = pending.pop()!;
    const node = producers.get(at);
    if (node === undefined || node.op_type === 'Constant') continue;
    const counted = countedTruth(node, producers, weights);
    if (counted !== undefined) pending.push({ at: counted, isTurned });
    else if (Object.hasOwn(relations, node.op_type)) {
      found.push({ condition, isMet, ...comparison(node, isTurned, producers, weights) });
    } else if (carrying.test(node.op_type)) {
      const isOther = (node.op_type === 'Not') !== isTurned;
      pending.push(...inputsOf(node).map((name) => ({ at: name, isTurned: isOther })));
    } else isPlain = false;
  }
  if (isPlain && found.length === 1) return found[0]!;
  const parts = found.map(describe).join(' with ') || operatorsBefore(condition, producers);
  return { condition, isMet, confidence: parts };
}

/** What is counted where a node asks whether it holds anywhere, as `torch.all` and `any` are written: `sum(truths) > 0`. */
function countedTruth({ op_type: op, input }: NodeMessage, producers: Producers, weights: Weights): string | undefined {
  if (op !== 'Greater' || numberOf(input[1] ?? '', producers, weights) !== 0) return undefined;
  let at = input[0] ?? '';
  for (let step = 0; step < MOST_STEPS; step++) {
    const by = producers.get(at);
    if (by !== undefined && (/^(Not|And|Or)$/.test(by.op_type) || Object.hasOwn(relations, by.op_type))) return at;
    if (by === undefined || !/^(Identity|Cast|ReduceSum|ReduceMax)$/.test(by.op_type)) return undefined;
    at = by.input[0] ?? '';
  }
  return undefined;
}

/** @param isTurned whether images that leave do not fulfil it */
function comparison(node: NodeMessage, isTurned: boolean, producers: Producers, weights: Weights) {
  const [left = '', right = ''] = node.input;
  const numbers = [left, right].map((name) => numberOf(name, producers, weights));
  // The threshold is the side that is not computed.
  const isRight = numbers[1] !== undefined || (numbers[0] === undefined && producers.has(left));
  const given: Relation = relations[node.op_type as keyof typeof relations];
  const straight = isRight ? given : exchanged[given];
  const [compared, threshold, bound] = isRight ? [left, numbers[1], right] : [right, numbers[0], left];
  return {
    confidence: operatorsBefore(compared, producers),
    compared,
    relation: isTurned ? opposite[straight] : straight,
    ...(threshold !== undefined ? { threshold } : producers.has(bound) || weights.has(bound) ? { bound } : {}),
  };
}

type Producers = ReadonlyMap<string, NodeMessage>;
type Weights = ReadonlyMap<string, TensorMessage>;

/** The only number of a list, or the one at a place. */
function numberAt(numbers: Float32Array | BigInt64Array, place: number | undefined): number | undefined {
  const at = numbers.length === 1 ? 0 : place;
  const number = at === undefined ? undefined : numbers.at(at);
  return number === undefined ? undefined : Number(number);
}

/** The number of a constant, also behind operators that change only its type or shape, or take one of a list. */
function numberOf(name: string, producers: Producers, weights: Weights): number | undefined {
  let at = name;
  let place: number | undefined;
  for (let step = 0; step < MOST_STEPS; step++) {
    const node = producers.get(at);
    const constant = node === undefined ? weights.get(at) : attributeOf(node, 'value')?.t;
    const numbers = floatsOf(constant ?? undefined) ?? wholeNumbersOf(constant ?? undefined);
    if (numbers !== undefined) return numberAt(numbers, place);
    const value = node && attributeOf(node, 'value_float')?.f;
    if (value != null) return Number(value);
    if (node === undefined || !carrying.test(node.op_type)) return undefined;
    if (node.op_type === 'Gather') place = numberOf(node.input[1] ?? '', producers, weights);
    at = node.input[0] ?? '';
  }
  return undefined;
}

/** The operators that compute a value, from the product or convolution with the exit's numbers on. */
function operatorsBefore(value: string, producers: Producers): string {
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

/** The least of these numbers at which images leave in the file, exact as float32; undefined if an input sets it. */
export function ownThreshold({ compared, relation = '>=', threshold, bound }: FoundExit): number | undefined {
  if (compared === undefined) return 1;
  if (threshold === undefined && bound === undefined) return undefined;
  const least = Math.fround(threshold ?? 0) * (relation.startsWith('<') ? -1 : 1);
  return relation.endsWith('=') ? least : nextFloat(least);
}

/** For messages: `Softmax, ReduceMax > 0.9`. */
export const describe = ({ confidence, relation, threshold, bound }: FoundExit): string => {
  if (relation === undefined) return `${confidence}: no single comparison`;
  const limit = bound === undefined ? 'an input' : 'a computed value';
  return `${confidence} ${relation} ${threshold === undefined ? limit : Number(threshold.toPrecision(6))}`;
};
