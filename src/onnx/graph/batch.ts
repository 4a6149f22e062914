import type { Budget } from '../../budget.js';
import { Rewriter } from '../builder.js';
import { dataTypes, type NodeMessage, type TensorMessage } from '../proto.js';
import { asConstant, type Probed, type RunValue } from './probe.js';
import type { UserModel } from './user-model.js';
import { inputsOf, intOf, intsOf, outputsOf, type Sizes, type ValueMap } from './values.js';

/** A graph's nodes, rewritten, and the constants that were added. */
interface Rewritten {
  readonly nodes: readonly NodeMessage[];
  readonly constants: readonly TensorMessage[];
}

/**
 * Exporters read the number of images once, from the input, and use it behind every block. Here it is taken from a value that
 * the same node reads anyway, so that a graph can be cut before the node. The target of a `Reshape` becomes a constant.
 *
 * @param fixed names of the values that are the same for any number of images
 */
export function countLocally(
  { nodes, kinds }: ValueMap,
  { values, shapes }: Probed,
  fixed: ReadonlyMap<string, unknown>,
  { file }: UserModel,
): Rewritten {
  const to = new Rewriter('count');
  const plans = new Map<string, Plan | undefined>();
  const planOf = (name: string): Plan | undefined => {
    if (!plans.has(name)) plans.set(name, planFor(to, values.get(name)!));
    return plans.get(name);
  };
  for (const node of nodes) {
    const open = (name: string): boolean => values.has(name) && !fixed.has(name) && kinds.get(name) === 'shape';
    const isData = outputsOf(node).some((name) => kinds.get(name) === 'data');
    if (!isData || !inputsOf(node).some(open)) {
      to.copy(node);
      continue;
    }
    const isReshape =
      node.op_type === 'Reshape' || takesAll(node, values.get(node.input[1] ?? '')?.[1].data, shapes, file.budget);
    const target = isReshape ? fixedTarget(to, shapes.get(node.output[0]!)!) : undefined;
    if (target !== undefined) {
      to.copy(asReshape(node, target));
      continue;
    }
    const source = inputsOf(node).find(
      (name) => kinds.get(name) === 'data' && batchAxis(shapes.get(name)) !== undefined,
    );
    const input = node.input.map((name) => {
      const plan = source !== undefined && open(name) ? planOf(name) : undefined;
      if (plan === undefined) return name;
      file.budget.steps(8);
      const [one] = shapes.get(source!)!;
      const axis = batchAxis(shapes.get(source!))!;
      return plan(writeCount(to, source!, axis, one[axis]!));
    });
    to.copy({ ...node, input });
  }
  return rewritten(to);
}

const rewritten = (to: Rewriter): Rewritten => ({ nodes: to.graph().node, constants: to.graph().initializer });

const asReshape = (node: NodeMessage, target: string): NodeMessage => {
  const attribute = node.op_type === 'Reshape' ? node.attribute : [];
  return { ...node, op_type: 'Reshape', input: [node.input[0]!, target], attribute };
};

/** Whether a node takes every number of a row, in order: PyTorch's `as_strided`. */
export function takesAll(
  { op_type, name, input }: NodeMessage,
  taken: RunValue['data'] | undefined,
  shapes: Probed['shapes'],
  budget: Budget,
): boolean {
  const sizes = shapes.get(input[0] ?? '')?.[1] ?? [];
  if (op_type !== 'Gather' || sizes.length !== 1 || taken?.length !== sizes[0]) return false;
  budget.bytes(8 * taken!.length, name); // many nodes may share one list
  return taken!.every((index: number | bigint, i: number) => Number(index) === i);
}

/** The axis that has twice the size for two images, if all others have the same. */
export function batchAxis(sizes: Sizes | undefined): number | undefined {
  if (sizes === undefined || sizes[0].length !== sizes[1].length) return undefined;
  const [one, two] = sizes;
  const open = one.flatMap((size, axis) => (size === two[axis] ? [] : [axis]));
  return open.length === 1 && two[open[0]!] === 2 * one[open[0]!]! ? open[0] : undefined;
}

/** The number of images, int64 [1], from a value that has `each` as many along an axis. */
function writeCount(to: Rewriter, value: string, axis: number, each: number): string {
  const index = to.ints(`dgate/axis${axis}`, [axis]);
  const size = to.node('Gather', [to.node('Shape', [value]), index], { axis: 0 });
  return each === 1 ? size : to.node('Div', [size, to.ints(`dgate/each${each}`, [each])]);
}

/** A constant target with -1 for the axis that grows with the images. */
function fixedTarget(to: Rewriter, [one, two]: Sizes): string | undefined {
  const open = one.flatMap((size, axis) => (size === two[axis] ? [] : [axis]));
  if (open.length !== 1 || one.length !== two.length || one.includes(0)) return undefined;
  return to.ints(
    to.fresh('target'),
    one.map((size, axis) => (axis === open[0] ? -1 : size)),
  );
}

/** Writes a value from the number of images, int64 [1]. */
type Plan = (count: string) => string;
/** Writers of nodes; a plan's constants are written once, however many nodes use it. */
type Make = (to: Rewriter, value: readonly [RunValue, RunValue]) => Plan | undefined;

const planFor: Make = (to, value) => affine(to, value) ?? repeated(to, value);

/** Whole numbers that grow evenly: a + b x count. */
const affine: Make = (to, [one, two]) => {
  const isVector = one.dims.length <= 1 && one.dims.join() === two.dims.join();
  if (one.type !== 'int64' || !isVector) return undefined;
  const [first, second] = [one, two].map(({ data }) => Array.from(data as BigInt64Array, Number));
  const slope = to.ints(
    to.fresh('slope'),
    first!.map((value, i) => second![i]! - value),
  );
  const start = to.ints(
    to.fresh('start'),
    first!.map((value, i) => 2 * value - second![i]!),
  );
  const none = one.dims.length === 0 ? to.ints('dgate/number', []) : undefined;
  return (count) => {
    const value = to.node('Add', [to.node('Mul', [count, slope]), start]);
    return none === undefined ? value : to.node('Reshape', [value, none]);
  };
};

/** The same numbers for every image, along one axis. */
const repeated: Make = (to, [one, two]) => {
  const axis = batchAxis([one.dims, two.dims]);
  if (axis === undefined) return undefined;
  const bytes = ({ data }: RunValue): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const outer = one.dims.slice(0, axis).reduce((product, size) => product * size, 1);
  const [a, b] = [bytes(one), bytes(two)];
  const part = a.length / outer;
  for (let i = 0; i < outer; i++) {
    const block = a.subarray(i * part, (i + 1) * part);
    for (const half of [2 * i, 2 * i + 1])
      if (!block.equals(b.subarray(half * part, (half + 1) * part))) return undefined;
  }
  const name = to.fresh('repeated');
  to.tensor(asConstant(name, one));
  return (count) => writeTile(to, name, one.dims.length, axis, count);
};

function writeTile(to: Rewriter, value: string, rank: number, axis: number, count: string): string {
  const ones = (length: number): string[] =>
    length === 0 ? [] : [to.ints(`dgate/ones${length}`, new Array<number>(length).fill(1))];
  const parts = [...ones(axis), count, ...ones(rank - axis - 1)];
  return to.node('Tile', [value, parts.length === 1 ? count : to.node('Concat', parts, { axis: 0 })]);
}

/** What `openBatch` did. */
export interface Opened extends Rewritten {
  /** Operators that were rewritten, and how many of each. */
  readonly changed: ReadonlyMap<string, number>;
  /** The first node that loses the axis of the images. */
  readonly lost: NodeMessage | undefined;
}

/**
 * Rewrites a graph of one image for any number of them: the axis of the images is followed from the input, and sizes along it
 * that are written down are left open. Whether that is right is for a run of two images to show.
 *
 * @param shapes sizes of every value for one image
 */
export function openBatch({ nodes, kinds }: ValueMap, { shapes, values }: Probed, { file, input }: UserModel): Opened {
  const to = new Rewriter('batch');
  const axes = new Map<string, number>([[input.value, 0]]);
  const changed = new Map<string, number>();
  let lost: NodeMessage | undefined;
  const sizesOf = (name: string): readonly number[] => shapes.get(name)?.[0] ?? [];
  const constants = new Map(file.model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  for (const given of nodes) {
    const index = given.op_type === 'Gather' ? constants.get(given.input[1] ?? '') : undefined;
    file.budget.bytes(index?.raw_data?.length ?? 0, given.name);
    const taken = wholeNumbersOf(index);
    const node = takesAll(given, taken, shapes, file.budget) ? asReshape(given, given.input[1]!) : given;
    const source = inputsOf(node).find((name) => axes.has(name));
    const output = node.output[0] ?? '';
    if (source === undefined || kinds.get(output) !== 'data') {
      to.copy(node);
      continue;
    }
    file.budget.steps(8);
    const [axis, before, after] = [axes.get(source)!, sizesOf(source), sizesOf(output)];
    const listed = listedAxes(node, constants, values, sizesOf(node.input[1] ?? ''));
    const next = axisAfter(node, axis, before, after, listed);
    if (next === undefined) lost ??= node;
    else for (const name of outputsOf(node)) axes.set(name, next);
    const open = next === undefined ? undefined : opened(to, node, { source, axis, next, after, sizesOf, kinds });
    if (open !== undefined) changed.set(node.op_type, (changed.get(node.op_type) ?? 0) + 1);
    to.copy(open ?? node);
  }
  return { ...rewritten(to), changed, lost };
}

/** The axes that a `Squeeze` or `Unsqueeze` lists in a constant. @param sizes of that constant */
function listedAxes(
  { op_type, input }: NodeMessage,
  constants: ReadonlyMap<string, TensorMessage>,
  values: Probed['values'],
  sizes: readonly number[],
): number[] | undefined {
  const [, name = ''] = input;
  if (!/^(Sq|Unsq)ueeze$/.test(op_type) || name === '' || (sizes[0] ?? 1) > 8) return undefined;
  const numbers = wholeNumbersOf(constants.get(name)) ?? values.get(name)?.[0].data;
  return numbers && Array.from(numbers, Number);
}

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
const reshaping = new Set(['Reshape', 'Flatten']);

/** Where the axis of the images goes; undefined if it is lost. @param listed the second input's whole numbers, if constant */
function axisAfter(
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
  if (reshaping.has(op)) {
    const outer = product(before.slice(0, axis));
    const found = after.findIndex((_, i) => product(after.slice(0, i)) === outer);
    return found < 0 ? undefined : found;
  }
  if (op === 'Gather') {
    const of = (intOf(node, 'axis', 0) + before.length) % before.length;
    return of === axis ? undefined : axis + (of < axis ? after.length - before.length : 0);
  }
  if (/^Reduce/.test(op)) return after[0] === before[0] && axis === 0 ? 0 : undefined;
  if (op === 'Squeeze') {
    const gone =
      listed?.map((each) => (each + before.length) % before.length) ??
      before.flatMap((size, i) => (size === 1 ? [i] : []));
    return gone.includes(axis) ? undefined : axis - gone.filter((each) => each < axis).length;
  }
  if (op === 'Unsqueeze') {
    const added = new Set(listed?.map((each) => (each + after.length) % after.length));
    return after.flatMap((_, i) => (added.has(i) ? [] : [i]))[axis];
  }
  if (after.length === before.length) return axis;
  // Sizes are aligned at the last axis.
  return after.length > before.length ? axis + after.length - before.length : undefined;
}

interface Place {
  readonly source: string;
  /** Of the images: before the node, and after it. */
  readonly axis: number;
  readonly next: number;
  readonly after: readonly number[];
  readonly sizesOf: (name: string) => readonly number[];
  readonly kinds: ValueMap['kinds'];
}

/** The node for any number of images; undefined if it is that already, or nobody knows how. */
function opened(to: Rewriter, node: NodeMessage, place: Place): NodeMessage | undefined {
  const { source, axis, next, after, sizesOf, kinds } = place;
  const count = (): string => writeCount(to, source, axis, sizesOf(source)[axis]!);
  const isFixed = (name: string | undefined): boolean =>
    name !== undefined && name !== '' && kinds.get(name) === 'constant';
  const sizes = (open: number): string =>
    to.ints(
      to.fresh('sizes'),
      after.map((size, i) => (i === next ? open : size)),
    );
  const [first = ''] = node.input;
  switch (node.op_type) {
    case 'Reshape':
      return kinds.get(node.input[1] ?? '') !== 'data' && !after.includes(0)
        ? { ...node, input: [first, sizes(-1)] }
        : undefined;
    case 'Flatten':
      if (intOf(node, 'axis', 1) !== 0) return undefined;
      return { ...node, op_type: 'Reshape', input: [first, sizes(-1)], attribute: [] };
    case 'Resize': {
      if (!isFixed(node.input[3]) || intsOf(node, 'axes') !== undefined) return undefined;
      const slope = to.ints(
        to.fresh('slope'),
        after.map((size, i) => (i === next ? size : 0)),
      );
      const all = to.node('Add', [to.node('Mul', [count(), slope]), sizes(0)]);
      return { ...node, input: [...node.input.slice(0, 3), all] };
    }
    case 'Concat': {
      if ((intOf(node, 'axis', 0) + after.length) % after.length === next || !node.input.some(isFixed))
        return undefined;
      const images = count();
      const input = node.input.map((name) => (isFixed(name) ? writeTile(to, name, after.length, next, images) : name));
      return { ...node, input };
    }
    default:
      return undefined;
  }
}

/** The numbers of an int64 constant. */
function wholeNumbersOf(tensor: TensorMessage | undefined): BigInt64Array | undefined {
  const bytes = Uint8Array.from(tensor?.raw_data ?? []);
  return tensor?.data_type === dataTypes.int64 && bytes.length % 8 === 0 ? new BigInt64Array(bytes.buffer) : undefined;
}
