import type { Budget } from '../../json.js';
import { elementCount } from '../../tensor.js';
import { Rewriter } from '../builder.js';
import type { NodeMessage, TensorMessage } from '../proto.js';
import { onEachImage } from './one-image.js';
import { versionOf } from './opsets.js';
import { asConstant, axisAfter, bytesOf, namedAxes, type Probed, type RunValue } from './probe.js';
import type { UserModel } from './user-model.js';
import {
  batchAxis,
  inputsOf,
  intOf,
  intsOf,
  openAxis,
  outputsOf,
  type Sizes,
  type ValueMap,
  wholeNumbersOf,
} from './values.js';

/** A graph's rewritten nodes, and the added constants. */
interface Rewritten {
  readonly nodes: readonly NodeMessage[];
  readonly constants: readonly TensorMessage[];
}

/**
 * Takes the number of images from a value that the same node reads. Exporters take it from the input, so that a graph could
 * not be cut in between. The target of a `Reshape` becomes a constant.
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

/** Whether a `Gather` takes all numbers of a row in order, as PyTorch's `as_strided` does. */
export function takesAll(
  { op_type, name, input }: NodeMessage,
  taken: RunValue['data'] | undefined,
  shapes: Probed['shapes'],
  budget: Budget,
): boolean {
  const sizes = shapes.get(input[0] ?? '')?.[1] ?? [];
  if (op_type !== 'Gather' || sizes.length !== 1 || taken?.length !== sizes[0]) return false;
  budget.bytes(8 * taken!.length, name); // nodes may share a list
  return taken!.every((index: number | bigint, i: number) => Number(index) === i);
}

/** Writes the number of images, int64 [1]. @param value has `each` times as many along the axis */
function writeCount(to: Rewriter, value: string, axis: number, each: number): string {
  const index = to.ints(`dgate/axis${axis}`, [axis]);
  const size = to.node('Gather', [to.node('Shape', [value]), index], { axis: 0 });
  return each === 1 ? size : to.node('Div', [size, to.ints(`dgate/each${each}`, [each])]);
}

/** A constant target with -1 for the axis that grows with the images. */
function fixedTarget(to: Rewriter, sizes: Sizes): string | undefined {
  const [one] = sizes;
  const open = openAxis(sizes);
  return open === undefined || one.includes(0) ? undefined : freshInts(to, 'target', one.with(open, -1));
}

const freshInts = (to: Rewriter, name: string, values: readonly number[]): string => to.ints(to.fresh(name), values);

/** Writes a value from the number of images, int64 [1]. */
type Plan = (count: string) => string;
/** Makes a plan and writes its constants. */
type Make = (to: Rewriter, value: readonly [RunValue, RunValue]) => Plan | undefined;

const planFor: Make = (to, value) => affine(to, value) ?? repeated(to, value);

/** Whole numbers a + b x count. */
const affine: Make = (to, [one, two]) => {
  const isVector = one.dims.length <= 1 && one.dims.join() === two.dims.join();
  if (one.type !== 'int64' || !isVector) return undefined;
  const [first, second] = [one, two].map(({ data }) => Array.from(data as BigInt64Array, Number));
  const slopes = first!.map((value, i) => second![i]! - value);
  const slope = freshInts(to, 'slope', slopes);
  const starts = first!.map((value, i) => value - slopes[i]!);
  const start = freshInts(to, 'start', starts);
  const none = one.dims.length === 0 ? to.ints('dgate/number', []) : undefined;
  return (count) => {
    const value = to.node('Add', [to.node('Mul', [count, slope]), start]);
    return none === undefined ? value : to.node('Reshape', [value, none]);
  };
};

/** The same numbers for each image, along one axis. */
const repeated: Make = (to, [one, two]) => {
  const axis = batchAxis([one.dims, two.dims]);
  if (axis === undefined) return undefined;
  const outer = elementCount(one.dims.slice(0, axis));
  const [a, b] = [bytesOf(one.data), bytesOf(two.data)];
  const part = a.length / outer;
  for (let i = 0; i < 2 * outer; i++) {
    const start = (i >> 1) * part;
    if (!a.subarray(start, start + part).equals(b.subarray(i * part, (i + 1) * part))) return undefined;
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

export interface Opened extends Rewritten {
  /** Number of rewritten nodes by operator. */
  readonly changed: ReadonlyMap<string, number>;
  /** The first node behind which the axis of the images is unknown. */
  readonly lost: NodeMessage | undefined;
  /** Whether nodes take the one image out of its axis: runs of two images may agree by chance. */
  readonly isOfOne: boolean;
}

/**
 * Rewrites a graph of one image for any number of images: follows their axis from the input, and opens the sizes along it. A
 * run of two images must check the result.
 */
export function openBatch({ nodes, kinds }: ValueMap, { shapes, values }: Probed, { file, input }: UserModel): Opened {
  const to = new Rewriter('batch');
  const axes = new Map<string, number>([[input.value, 0]]);
  const changed = new Map<string, number>();
  let lost: NodeMessage | undefined;
  const sizesOf = (name: string): readonly number[] => shapes.get(name)?.[0] ?? [];
  const constants = new Map(file.model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  const version = versionOf(file.model);
  const axesOf = namedAxes(constants, { shapes, values });
  const axisOf = (name: string): number | undefined => axes.get(name);
  let isOfOne = false;
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
    const place = { before, after, listed: axesOf(node, before, after), version, axisOf, sizesOf };
    const bare = input.batch === 1 ? onEachImage(to, node, place) : undefined;
    isOfOne ||= bare !== undefined;
    const next = bare === undefined ? axisAfter(node, axis, before, after, place.listed) : bare.next;
    if (next === undefined) lost ??= node;
    else for (const name of outputsOf(node)) axes.set(name, next);
    const open = bare?.node ?? opened(to, node, { source, axis, next, before, after, kinds });
    if (open !== undefined) changed.set(node.op_type, (changed.get(node.op_type) ?? 0) + 1);
    to.copy(open ?? node);
  }
  return { ...rewritten(to), changed, lost, isOfOne };
}

interface Place {
  readonly source: string;
  /** The axis of the images before the node, and after it. */
  readonly axis: number;
  readonly next: number | undefined;
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly kinds: ValueMap['kinds'];
}

/** The node for any number of images; undefined if it needs no change, or cannot be changed. */
function opened(
  to: Rewriter,
  node: NodeMessage,
  { source, axis, next, before, after, kinds }: Place,
): NodeMessage | undefined {
  if (next === undefined) return undefined;
  const count = (): string => writeCount(to, source, Math.floor(axis), before[Math.floor(axis)]!);
  const isFixed = (name: string | undefined): boolean =>
    name !== undefined && name !== '' && kinds.get(name) === 'constant';
  const sizes = (open: number): string => freshInts(to, 'sizes', after.with(Math.floor(next), open));
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
      const slopes = after.map((size, i) => (i === next ? size : 0));
      const slope = freshInts(to, 'slope', slopes);
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
