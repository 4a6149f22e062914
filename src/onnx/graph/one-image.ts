import { Rewriter } from '../builder.js';
import { dataTypes, type NodeMessage, type TensorMessage } from '../proto.js';
import { asReshape, type Rewritten, rewritten, takesAll, writeCount, writeTile } from './batch.js';
import type { Probed } from './probe.js';
import type { UserModel } from './user-model.js';
import { inputsOf, intOf, intsOf, outputsOf, type ValueMap } from './values.js';

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
