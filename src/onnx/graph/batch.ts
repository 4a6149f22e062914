import type { Budget } from '../../budget.js';
import { Rewriter } from '../builder.js';
import type { NodeMessage, TensorMessage } from '../proto.js';
import { asConstant, type Probed, type RunValue } from './probe.js';
import type { UserModel } from './user-model.js';
import { inputsOf, outputsOf, type Sizes, type ValueMap } from './values.js';

/** A graph's nodes, rewritten, and the constants that were added. */
export interface Rewritten {
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

export const rewritten = (to: Rewriter): Rewritten => ({ nodes: to.graph().node, constants: to.graph().initializer });

export const asReshape = (node: NodeMessage, target: string): NodeMessage => {
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
export function writeCount(to: Rewriter, value: string, axis: number, each: number): string {
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

export function writeTile(to: Rewriter, value: string, rank: number, axis: number, count: string): string {
  const ones = (length: number): string[] =>
    length === 0 ? [] : [to.ints(`dgate/ones${length}`, new Array<number>(length).fill(1))];
  const parts = [...ones(axis), count, ...ones(rank - axis - 1)];
  return to.node('Tile', [value, parts.length === 1 ? count : to.node('Concat', parts, { axis: 0 })]);
}
