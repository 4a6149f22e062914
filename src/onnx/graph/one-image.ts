import type { Rewriter } from '../builder.js';
import { attributeTypes, type NodeMessage } from '../proto.js';
import { isSized } from './probe.js';
import { intOf } from './values.js';

/** The axis of the images where a graph's value has none for its one image; the rewritten value has it in front. */
const NONE = -1;

/** A node in a graph of one image: sizes of its first input and output, the axes or indices that it names, the file's opset. */
interface Place {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly listed: readonly number[] | undefined;
  readonly version: number;
  /** The axis of the images of a value; undefined for constants. */
  readonly axisOf: (name: string) => number | undefined;
  readonly sizesOf: (name: string) => readonly number[];
}

/**
 * Rewrites a node that takes the one image out of its axis, or reads such a value: `x[0].max()`, `x.squeeze(0)`, `x.flatten()`,
 * reductions over all axes. It then works on each image by itself.
 *
 * @returns undefined for other nodes; `next`: the axis of the images behind it, undefined if unknown
 */
export function onEachImage(to: Rewriter, node: NodeMessage, place: Place) {
  const { before, after, axisOf, sizesOf } = place;
  const { op_type: op, input } = node;
  const isBare = input.some((name) => axisOf(name) === NONE);
  if (!isBare && (axisOf(input[0] ?? '') !== 0 || before[0] !== 1)) return undefined;
  if (op.startsWith('Reduce')) return reduced(to, node, place, isBare);
  const axis = intOf(node, 'axis', /^(Gather|ArgM..)$/.test(op) ? 0 : -1);
  if (!isBare) return isTaken(node, axis, place) ? reshaped(to, node, after, before) : undefined;
  if (/^(Reshape|Flatten|Squeeze|Unsqueeze)$/.test(op)) return reshaped(to, node, after);
  if (/^(Gather|ArgM..|TopK|(Log)?Softmax)$/.test(op) && axisOf(input[1] ?? '') === undefined) {
    const shifted = { name: 'axis', type: attributeTypes.int, i: axis < 0 ? axis : axis + 1 };
    const attribute = [...node.attribute.filter(({ name }) => name !== 'axis'), shifted];
    return { node: { ...node, attribute }, next: NONE };
  }
  // Element by element, between values of as many axes and constants.
  const isEven = input.every((name) => {
    const rank = sizesOf(name).length;
    return axisOf(name) === undefined ? rank <= after.length : axisOf(name) === NONE && rank === after.length;
  });
  const isPlain = isSized(node) && node.attribute.length <= (op === 'Cast' ? 1 : 0);
  return { node, next: isPlain && isEven ? NONE : undefined };
}

/** Whether a node drops the axis of the one image, or takes the first along it. */
function isTaken({ op_type: op }: NodeMessage, axis: number, { before, after, listed }: Place): boolean {
  if (op === 'Squeeze') return listed?.includes(0) ?? true;
  if (op === 'Gather') return (axis === 0 || axis === -before.length) && `${listed}` === '0';
  return /^(Reshape|Flatten)$/.test(op) && (after.length === 0 || (after.length === 1 && after[0] !== 1));
}

/** The images in front of a node's sizes. @param before its input's sizes: it keeps the axis if it has as many */
function reshaped(to: Rewriter, node: NodeMessage, after: readonly number[], before?: readonly number[]) {
  const isKept = before === undefined ? after[0] === 1 : node.op_type === 'Gather' && after.length === before.length;
  const target = to.ints(to.fresh('target'), [-1, ...(isKept ? after.slice(1) : after)]);
  const input = [node.input[0]!, target];
  return { node: { ...node, op_type: 'Reshape', input, attribute: [] }, next: isKept ? 0 : NONE };
}

/** A reduction without the axis of the images. */
function reduced(to: Rewriter, node: NodeMessage, { before, listed, version }: Place, isBare: boolean) {
  const all = listed ?? [...before.keys()];
  if (!isBare && !all.includes(0)) return undefined;
  const axes = all.map((axis) => axis + (isBare ? 1 : 0)).filter((axis) => axis > 0);
  const next = isBare || intOf(node, 'keepdims', 1) === 0 ? NONE : 0;
  const input = node.input.slice(0, 1);
  if (axes.length === 0) return { node: { ...node, op_type: 'Identity', input, attribute: [] }, next };
  const attribute = node.attribute.filter(({ name }) => name !== 'axes');
  if (version >= (node.op_type === 'ReduceSum' ? 13 : 18)) input.push(to.ints(to.fresh('axes'), axes));
  else attribute.push({ name: 'axes', type: attributeTypes.ints, ints: axes });
  return { node: { ...node, input, attribute }, next };
}
