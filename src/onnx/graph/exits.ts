import { InputError } from '../../errors.js';
import { MOST_EXITS } from '../../networks/onnx.js';
import { dialectOfFile, Rewriter } from '../builder.js';
import { dataTypes, type GraphMessage, type NodeMessage, type TensorMessage } from '../proto.js';
import { describe, describeExit, type FoundExit, isCounted } from './conditions.js';
import type { UserFile } from './read.js';
import { attributeOf, beforeSoftmax, inputsOf, intOf, neededNodes, nodesOf, outputsOf } from './values.js';

/** A way through a graph with exits, without any `If`. */
interface Path {
  readonly nodes: readonly NodeMessage[];
  /** Constants of the branches. */
  readonly constants: readonly TensorMessage[];
  /** The exits that it passes, and the one at which it leaves. */
  readonly met: readonly Pick<FoundExit, 'condition' | 'isMet'>[];
  /** The name of one of the file's values on this path. */
  readonly named: (value: string) => string;
}

type Branch = 'then_branch' | 'else_branch';

/** The path past all exits of a file, and the exits; undefined without exits. @throws InputError for too many */
function pastAll(file: UserFile) {
  const { graph } = file.model;
  if (!graph.node.some((node) => leavingBranch(node) !== undefined)) return undefined;
  const past = pathTo(file, Number.POSITIVE_INFINITY);
  if (past.met.length > MOST_EXITS) {
    throw new InputError(`${file.path}: ${past.met.length} exits; valid: at most ${MOST_EXITS}`);
  }
  const whole = { ...graph, node: past.nodes, initializer: [...graph.initializer, ...past.constants] };
  return { past, whole, exits: past.met.map((exit) => describeExit(whole, exit)) };
}

/** A graph or branch that is being copied. */
interface Frame {
  readonly nodes: readonly NodeMessage[];
  next: number;
  /** New names of its values; others are in the frames outside. */
  readonly names: Map<string, string>;
  readonly outside: Frame | undefined;
  /** Outputs of the branch and of its `If`. */
  readonly results: readonly (readonly [string, string])[];
}

/**
 * The path of images that pass this many exits and leave at the next. Paths share names up to where they leave. Exits may be
 * nested, or one behind the other: a later `If` follows what is known of its condition, and otherwise an image that has left
 * takes the cheaper branch.
 */
function pathTo(file: UserFile, passes: number): Path {
  const to = new Rewriter('exits');
  const constants = [truthTensor(false), truthTensor(true)];
  const met: { condition: string; isMet: boolean }[] = [];
  const facts: Facts = { truths: new Map(), places: new Set() };
  const top: Frame = { nodes: file.model.graph.node, next: 0, names: new Map(), outside: undefined, results: [] };
  let frame: Frame | undefined = top;
  let hasLeft = false;
  const fresh = (name: string): string => (hasLeft ? `${to.fresh(name)}/exit${passes + 1}` : to.fresh(name));
  const named = (name: string, from: Frame): string => {
    for (let at: Frame | undefined = from; at !== undefined; at = at.outside) {
      file.budget.steps();
      const found = at.names.get(name);
      if (found !== undefined) return found;
    }
    return name;
  };
  /** Names a value where it is made; values of the main graph keep theirs on all paths that have not left. */
  const made = (name: string, by: Frame): string => {
    if (name === '' || (by === top && !hasLeft)) return name;
    by.names.set(name, fresh(name));
    return by.names.get(name)!;
  };
  const kept = (tensor: TensorMessage): string => {
    constants.push({ ...tensor, name: fresh(tensor.name) });
    return constants.at(-1)!.name;
  };
  const branchTaken = (node: NodeMessage, condition: string): Branch | undefined => {
    const truth = node.op_type === 'If' ? facts.truths.get(condition) : undefined;
    if (truth !== undefined) return truth ? 'then_branch' : 'else_branch';
    const leaving = leavingBranch(node);
    if (leaving === undefined) return undefined;
    if (!hasLeft) {
      hasLeft = met.length === passes;
      met.push({ condition, isMet: leaving === 'then_branch' });
    }
    const taken = hasLeft === (leaving === 'then_branch') ? 'then_branch' : 'else_branch';
    facts.truths.set(condition, taken === 'then_branch');
    return taken;
  };
  while (frame !== undefined) {
    const current: Frame = frame;
    const node = current.nodes[current.next++];
    if (node === undefined) {
      for (const [inside, outside] of current.results) {
        const identity = { op_type: 'Identity', name: outside, input: [], output: [], attribute: [] };
        to.copy(onPath(identity, [named(inside, current)], [made(outside, current.outside!)], facts));
      }
      frame = current.outside;
      continue;
    }
    file.budget.steps(8);
    const input = node.input.map((name) => named(name, current));
    const taken = branchTaken(node, input[0] ?? '');
    if (taken !== undefined) frame = enter(branchOf(node, taken)!, node, current, kept);
    else
      to.copy(
        onPath(
          node,
          input,
          node.output.map((name) => made(name, current)),
          facts,
        ),
      );
  }
  return { nodes: to.graph().node, constants, met, named: (value) => named(value, top) };
}

/** @param kept keeps a constant of the branch @returns how it is copied */
function enter(
  branch: GraphMessage,
  { output }: NodeMessage,
  outside: Frame,
  kept: (of: TensorMessage) => string,
): Frame {
  const names = new Map(branch.initializer.map((tensor) => [tensor.name, kept(tensor)]));
  const results = branch.output.map(({ name }, i) => [name, output[i] ?? 'unused'] as const);
  return { nodes: branch.node, next: 0, names, outside, results };
}

/** What is known on a path: conditions, and values that list the places of all images. */
type Facts = { readonly truths: Map<string, boolean>; readonly places: Set<string> };

const truthName = (truth: boolean): string => `dgate/${truth ? 'true' : 'false'}`;
const truthTensor = (truth: boolean): TensorMessage => {
  return { name: truthName(truth), dims: [], data_type: dataTypes.bool, raw_data: Uint8Array.of(truth ? 1 : 0) };
};

/** Operators that keep the order of the images whose places they get. */
const placing = /^(Identity|Cast|Squeeze|Unsqueeze|Reshape|Flatten|Transpose|Gather|Slice)$/;

/** A node on a path where all images go the same way: it selects and gathers nothing. */
function onPath(node: NodeMessage, input: string[], output: string[], { truths, places }: Facts): NodeMessage {
  const { op_type: op } = node;
  const [first = '', second = '', third = ''] = input;
  const truth = truthOf(node, truths.get(first), truths.get(second));
  if (truth !== undefined) truths.set(output[0]!, truth);
  if (op === 'NonZero' || (placing.test(op) && places.has(first))) places.add(output[0]!);
  const copied = { ...node, op_type: 'Identity', output, attribute: [] };
  const same = (value: string): NodeMessage => ({ ...copied, input: [value] });
  if (op === 'Where' && truths.has(first)) return same(truths.get(first) === true ? second : third);
  if (op === 'Gather' && places.has(second) && !places.has(first)) return same(first);
  if (op === 'ScatterND' && places.has(second)) return same(third);
  const known = (name: string): string => (truths.has(name) ? truthName(truths.get(name)!) : name);
  return { ...node, input: input.map(known), output };
}

/** @param a what is known of its first input @param b of its second */
function truthOf(node: NodeMessage, a: boolean | undefined, b: boolean | undefined): boolean | undefined {
  const { op_type: op } = node;
  if (op === 'Not') return a === undefined ? undefined : !a;
  if (op === 'Cast') return intOf(node, 'to', 0) === dataTypes.bool ? a : undefined;
  if (op === 'And') return a === false || b === false ? false : a && b;
  if (op === 'Or') return a === true || b === true ? true : (a ?? true) || b === undefined ? undefined : b;
  return /^(Identity|Squeeze|Unsqueeze|Reshape|Flatten)$/.test(op) ? a : undefined;
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
const weightOf = (graph: GraphMessage): number => [...nodesOf(graph)].filter(({ op_type: op }) => isCounted(op)).length;

/**
 * The path past exits without any `If`: images that stay are gathered (`NonZero` and `Gather`, or `Compress`) and their answers
 * scattered. Here all go on; where answers meet, those behind more products and convolutions are kept.
 */
function pastGathers({ model: { graph }, budget }: UserFile) {
  const told = new Set<string>();
  const [places, depths] = [new Set<string>(), new Map<string, number>()];
  const isExit = (condition = ''): boolean => {
    const { compared, confidence, threshold = 'a computed value' } = describeExit(graph, { condition, isMet: false });
    // Whether those that stay or those that leave fulfil it is not known.
    if (compared !== undefined) told.add(`${confidence} compared with ${threshold}`);
    return compared !== undefined;
  };
  const node = graph.node.map((given): NodeMessage => {
    budget.steps(8);
    const { op_type: op, input, output } = given;
    const [first = '', second = '', third = ''] = input;
    const depth = Math.max(0, ...inputsOf(given).map((name) => depths.get(name) ?? 0)) + (isCounted(op) ? 1 : 0);
    for (const name of outputsOf(given)) depths.set(name, depth);
    if ((placing.test(op) && places.has(first)) || (op === 'NonZero' && isExit(first))) places.add(output[0]!);
    else if (op === 'ScatterND' && places.has(second)) {
      const isBehind = (depths.get(third) ?? 0) >= (depths.get(first) ?? 0);
      return { ...given, op_type: 'Identity', input: [isBehind ? third : first], attribute: [] };
    } else if ((op === 'Gather' && places.has(second)) || (op === 'Compress' && isExit(second))) {
      return { ...given, op_type: 'Identity', input: [first], attribute: [] };
    }
    return given;
  });
  return told.size === 0 ? undefined : { whole: { ...graph, node }, told: [...told] };
}

/** The graph past all its exits, for new gates. @param notes gets a note on the exits that were removed */
export function pastExits(file: UserFile, notes: string[]): UserFile {
  const nested = pastAll(file);
  const found = nested ? { whole: nested.whole, told: nested.exits.map(describe) } : pastGathers(file);
  if (found === undefined) return file;
  const exits = found.told.join('; ');
  notes.push(`its own exits are left out (${exits}): gates are trained anew`);
  return { ...file, model: { ...file.model, graph: withUsedInputs(found.whole, file.path) } };
}

/**
 * A file's own exits, all in one graph without any `If`. Its only output shows all values: what mixes images there mixes them in
 * an exit.
 *
 * @param output the classes' one
 * @returns undefined for a file without exits; `values`: names of float32 values [n, classes], one for each exit and one for the
 * end. At an exit the largest of an image's numbers is what the file compares, negated for `<`; their differences are those of its
 * logits.
 * @throws InputError for too many
 */
export function ownExits(file: UserFile, output: string) {
  const found = pastAll(file);
  if (found === undefined) return undefined;
  const { past, whole, exits } = found;
  const paths = [...exits.map((_, exit) => pathTo(file, exit)), past];
  const nodes = new Map(past.nodes.map((node) => [outputsOf(node)[0], node]));
  const constants = new Map(whole.initializer.map((tensor) => [tensor.name, tensor]));
  for (const path of paths) {
    for (const node of path.nodes) if (!nodes.has(outputsOf(node)[0])) nodes.set(outputsOf(node)[0], node);
    for (const tensor of path.constants) constants.set(tensor.name, tensor);
  }
  const to = new Rewriter('own', undefined, dialectOfFile(file.model));
  const asFloat = (value: string): string => to.node('Cast', [value], { to: dataTypes.float });
  const column = (value: string): string => to.node('Reshape', [value, to.ints('dgate/column', [-1, 1])]);
  const values = paths.map((path, i) => {
    const { value } = beforeSoftmax([...nodes.values()], path.named(output));
    const row = to.node('Flatten', [asFloat(value)], { axis: 1 });
    const exit = exits[i];
    if (exit === undefined) return row;
    const number = column(writeNumber(to, exit, asFloat));
    const behind = to.node('Sub', [row, column(to.rowMaxima(row))]);
    // A large number may swallow the differences: the others stay below it all the same.
    const step = to.node('Mul', [to.node('Abs', [number]), to.constant('dgate/step', Float32Array.of(2 ** -22), [])]);
    const others = to.node('Min', [to.node('Add', [behind, number]), to.node('Sub', [number, step])]);
    const isLargest = to.node('Equal', [behind, to.constant('dgate/zero', Float32Array.of(0), [])]);
    return to.node('Where', [isLargest, number, others]);
  });
  // Numbers of any size weigh alike.
  const shown = to.node('Softsign', [to.node('Concat', values, { axis: 1 })]);
  const written = to.graph();
  const node = [...nodes.values(), ...written.node];
  const initializer = [...constants.values(), ...written.initializer];
  const joined = { ...whole, node, initializer, output: [{ ...whole.output[0]!, name: shown }] };
  const graph = withUsedInputs(joined, file.path);
  return { file: { ...file, model: { ...file.model, graph } }, exits, values };
}

/** Writes the number that an exit compares; larger for images that leave. A condition of another form is 1 or 0. */
function writeNumber(to: Rewriter, exit: FoundExit, asFloat: (value: string) => string): string {
  const { condition, isMet, compared, relation, bound } = exit;
  if (compared === undefined) return asFloat(isMet ? condition : to.node('Not', [condition]));
  const value = bound === undefined ? asFloat(compared) : to.node('Sub', [asFloat(compared), asFloat(bound)]);
  return relation?.startsWith('<') ? to.node('Neg', [value]) : value;
}

/** Removes unused inputs: the thresholds of removed exits. */
function withUsedInputs(graph: GraphMessage, path: string): GraphMessage {
  const given = new Map([...graph.input, ...graph.initializer].map((each) => [each.name, each]));
  const outputs = graph.output.map(({ name }) => name);
  const used = new Set(neededNodes(graph.node, given, outputs, path).flatMap(inputsOf));
  return { ...graph, input: graph.input.filter(({ name }) => used.has(name)) };
}
