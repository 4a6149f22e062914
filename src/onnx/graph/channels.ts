import { elementCount } from '../../tensor.js';
import { dataTypes, type NodeMessage } from '../proto.js';
import { isConstant, type PreparedGraph } from './prepare.js';
import { isSized, noise, type RunModel } from './probe.js';
import { copyOf } from './quantise.js';
import { batchAxis, inputsOf, intsOf, outputsOf, producersOf } from './values.js';

export type ChannelAxis = 'first' | 'last';

/** Operators on [n, channels, ...]. */
const channelsFirst =
  /^((Fused|QLinear|Nhwc)?Conv(Transpose|Integer)?|(Batch|Instance|Group)Normalization|LRN|(QLinear)?(Global)?(Max|Average|Lp)Pool|DepthToSpace|SpaceToDepth)$/;
/** Operators that sum over or normalise the last axis. */
const channelsLast =
  /^((Fused|QLinear|DynamicQuantize)?MatMul(Integer(ToFloat)?)?|(Skip)?(Simplified)?LayerNormalization|RMSNormalization|(MultiHead|Q)?Attention|MatMulNBits)$/;

const reshaping = /^(Reshape|Flatten|Squeeze|Unsqueeze)$/;

/**
 * Follows the channel axis from the images and convolutions through all nodes.
 *
 * @returns a look-up; undefined if the axis is lost, or if inputs of a node disagree
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
    return axis === undefined ? undefined : named(axis - (axis > imagesAxis(graph, tensor) ? 1 : 0), rank - 1);
  };
}

/** The axis of the images; 0 if unknown. */
const imagesAxis = ({ shapes }: PreparedGraph, tensor: string): number => batchAxis(shapes.get(tensor)) ?? 0;

/** @param axis of one image @param axes their number */
const named = (axis: number, axes: number): ChannelAxis | undefined =>
  axis === 0 ? 'first' : axis === axes - 1 ? 'last' : undefined;

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
  if (reshaping.test(node.op_type)) return known === undefined ? undefined : axisReshaped(known, before, after);
  const sources = inputsOf(node).filter((name) => !isConstant(graph, name) && sizesOf(name).length === rank);
  const found = new Set(sources.flatMap((name) => axes.get(name) ?? []));
  const [axis, ...others] = found;
  if (!channelsLast.test(node.op_type)) return others.length === 0 ? axis : undefined;
  // A product with weights mixes the last axis: the tokens, if the channels are known to be another axis.
  if (sources.length === 1) return axis ?? rank - 1;
  return others.length === 0 && (axis ?? rank - 1) === rank - 1 ? (axis ?? rank - 1) : undefined;
}

/** The new position of an axis that keeps its length, with as many numbers before it. */
function axisReshaped(axis: number, before: readonly number[], after: readonly number[]): number | undefined {
  const outer = elementCount(before.slice(0, axis));
  const found = after.findIndex(
    (size, i) => i > 0 && size === before[axis] && elementCount(after.slice(0, i)) === outer,
  );
  return found < 0 ? undefined : found;
}

/** An axis with less likeness holds positions; one with more may hold the channels. */
const [APART, ALIKE] = [0.4, 0.6];

/**
 * Puts the same patch into one corner of an image and into the opposite one, and compares the two changes of each tensor.
 * They lie apart along an axis of positions, and are alike along the axis of the channels.
 *
 * @param tensors with two axes or more besides that of the images
 * @returns by tensor, for each axis of one image, the cosine between the sizes of the two changes, summed over the other
 *   axes; the input's behind operators that move no axis
 */
export async function likenesses(
  graph: PreparedGraph,
  tensors: readonly string[],
  run: RunModel,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const producers = producersOf(graph.nodes);
  const found = new Map<string, readonly number[]>();
  const sameAs = new Map<string, string>();
  for (const tensor of tensors) {
    const node = producers.get(tensor);
    const sources = node === undefined ? [] : inputsOf(node).filter((name) => !isConstant(graph, name));
    const [source = ''] = sources;
    const follows = node !== undefined && isSized(node) && sources.length === 1 && sameAs.has(source);
    sameAs.set(tensor, follows ? sameAs.get(source)! : tensor);
  }
  const measured = [...new Set(sameAs.values())];
  if (measured.length === 0) return found;
  const { channels, height, width, value: name } = graph.model.input;
  const data = patchedImages(graph.model.input);
  const [result] = await run(likenessGraph(graph, measured), [{ name, dims: [3, channels, height, width], data }]);
  for (const [tensor, source] of sameAs) {
    const axes = graph.shapes.get(tensor)![0].slice(1);
    const likeness = axes.map((_, axis) => Number(result!.get(likenessOf(source, axis))!.data[0]));
    found.set(tensor, likeness);
  }
  return found;
}

/**
 * The axis of the channels: the one that was followed, unless its likeness contradicts.
 *
 * @param followed undefined if it was lost
 * @param sizes of one image
 * @returns undefined if it is unknown
 */
export function chosenAxis(
  followed: ChannelAxis | undefined,
  sizes: readonly number[],
  likeness: readonly number[] | undefined,
): ChannelAxis | undefined {
  if (likeness === undefined) return followed;
  const index = followed === 'first' ? 0 : sizes.length - 1;
  if (followed !== undefined && (sizes[index] === 1 || !(likeness[index]! < APART))) return followed;
  const open = sizes.flatMap((size, axis) => (size === 1 || likeness[axis]! < APART ? [] : [axis]));
  const [only] = open;
  if (open.length === 1 && likeness[only!]! > ALIKE) return named(only!, sizes.length);
  return open.length === 0 ? followed : undefined;
}

const likenessOf = (tensor: string, axis: number): string => `likeness along ${axis} of ${tensor}`;

/** An image, the same with a patch in its upper left part, and with the patch in its lower right part. */
function patchedImages({ channels, height, width, type }: PreparedGraph['model']['input']): Float32Array {
  const size = channels * height * width;
  const [plain, patch] = [noise(size, type === dataTypes.uint8, 1), noise(size, type === dataTypes.uint8, 2)];
  const images = new Float32Array(3 * size);
  for (const image of [0, 1, 2]) images.set(plain, image * size);
  const [rows, columns] = [height, width].map((side) => Math.ceil(side / 4)) as [number, number];
  for (const [image, top, left] of [
    [1, height >> 3, width >> 3],
    [2, height - rows - (height >> 3), width - columns - (width >> 3)],
  ] as const) {
    for (let row = 0; row < channels * rows; row++) {
      const from = Math.floor(row / rows) * height * width + (row % rows) * width;
      images.set(patch.subarray(from, from + columns), image * size + from + top * width + left);
    }
  }
  return images;
}

function likenessGraph(graph: PreparedGraph, tensors: readonly string[]): Uint8Array {
  const to = copyOf(graph, 'likeness');
  for (const node of graph.nodes) to.copy(node);
  for (const tensor of tensors) {
    const images = imagesAxis(graph, tensor);
    const all = graph.shapes.get(tensor)![0].map((_, axis) => axis);
    const values = to.node('Cast', [tensor], { to: dataTypes.float });
    const at = (of: string, image: number, axis: number): string =>
      to.node('Gather', [of, to.ints(`dgate/image${image}`, [image])], { axis });
    const change = to.node('Abs', [to.node('Sub', [values, at(values, 0, images)])]);
    all
      .filter((axis) => axis !== images)
      .forEach((axis, position) => {
        const others = all.filter((each) => each !== axis && each !== images);
        const over = to.ints(`dgate/over${others.join('_')}`, others);
        const profile = to.node('ReduceSum', [change, over], { keepdims: 0 });
        const [a, b] = [1, 2].map((image) => at(profile, image, images < axis ? 0 : 1)) as [string, string];
        const product = (x: string, y: string): string =>
          to.node('ReduceSum', [to.node('Mul', [x, y])], { keepdims: 0 });
        const lengths = to.node('Sqrt', [to.node('Mul', [product(a, a), product(b, b)])]);
        to.output(to.node('Div', [product(a, b), lengths], {}, likenessOf(tensor, position)), 'float');
      });
  }
  return to.encode();
}
