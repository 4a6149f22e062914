import type { NodeMessage } from '../proto.js';
import { isConstant, type PreparedGraph } from './prepare.js';
import { inputsOf, intsOf, outputsOf } from './values.js';

/** The channel axis of one image's features: the first or the last; a row has only one axis. */
export type ChannelAxis = 'first' | 'last';

/** Operators with images as [n, channels, ...], always. */
const channelsFirst =
  /^((Fused|QLinear|Nhwc)?Conv(Transpose|Integer)?|(Batch|Instance|Group)Normalization|LRN|(QLinear)?(Global)?(Max|Average|Lp)Pool|DepthToSpace|SpaceToDepth)$/;
/** Operators that sum over or normalise the last axis. */
const channelsLast =
  /^((Fused|QLinear|DynamicQuantize)?MatMul(Integer(ToFloat)?)?|(Skip)?(Simplified)?LayerNormalization|RMSNormalization|(MultiHead|Q)?Attention|MatMulNBits)$/;

/** Operators that give an axis another length, or divide it. */
const reshaping = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/**
 * Finds the channel axis of tensors: where a convolution or an image begins with it, it is followed through the nodes behind,
 * also through those that mix another axis. Undefined where it is lost, or where inputs of a node disagree.
 *
 * Makes one pass over all nodes; the returned function is a look-up.
 */
export function channelAxes(graph: PreparedGraph): (tensor: string) => ChannelAxis | undefined {
  const { nodes, shapes, model } = graph;
  const axes = new Map<string, number>([[model.input.value, 1]]);
  for (const node of nodes) {
    const axis = axisBehind(node, graph, axes);
    if (axis !== undefined) for (const name of outputsOf(node)) axes.set(name, axis);
  }
  return (tensor) => {
    const [axis, rank] = [axes.get(tensor), shapes.get(tensor)![0].length];
    if (rank === 2) return 'last';
    return axis === 1 ? 'first' : axis === rank - 1 ? 'last' : undefined;
  };
}

/** The channel axis of a node's results, with the batch as axis 0; undefined if unknown. */
function axisBehind(node: NodeMessage, graph: PreparedGraph, axes: ReadonlyMap<string, number>): number | undefined {
  const { shapes } = graph;
  const sizesOf = (name: string): readonly number[] => shapes.get(name)?.[0] ?? [];
  const [first = ''] = node.input;
  const [before, after] = [sizesOf(first), sizesOf(node.output[0]!)];
  const rank = after.length;
  if (channelsFirst.test(node.op_type)) return 1;
  const known = axes.get(first);
  if (node.op_type === 'Transpose') {
    const perm = intsOf(node, 'perm') ?? before.map((_, i) => before.length - 1 - i);
    return known === undefined ? undefined : perm.indexOf(known);
  }
  if (reshaping.has(node.op_type)) return known === undefined ? undefined : axisReshaped(known, before, after);
  const sources = inputsOf(node).filter((name) => !isConstant(graph, name) && sizesOf(name).length === rank);
  const found = new Set(sources.flatMap((name) => axes.get(name) ?? []));
  const [axis, ...others] = found;
  if (!channelsLast.test(node.op_type)) return others.length === 0 ? axis : undefined;
  // A product with weights mixes the last axis: of tokens where another one is known to be the channels'.
  if (sources.length === 1) return axis ?? rank - 1;
  return others.length === 0 && (axis ?? rank - 1) === rank - 1 ? (axis ?? rank - 1) : undefined;
}

/** Where an axis goes that keeps its length, with as many numbers before it. */
function axisReshaped(axis: number, before: readonly number[], after: readonly number[]): number | undefined {
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  const outer = product(before.slice(0, axis));
  let all = 1;
  for (const [i, size] of after.entries()) {
    if (i > 0 && all === outer && size === before[axis]) return i;
    all *= size;
  }
  return undefined;
}
