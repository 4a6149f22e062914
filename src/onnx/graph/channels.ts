import type { NodeMessage } from '../proto.js';
import type { PreparedGraph } from './prepare.js';
import { inputsOf, outputsOf } from './values.js';

/** The channel axis of one image's features: the first or the last; a row has only one axis. */
export type ChannelAxis = 'first' | 'last';

/** Operators with images as [n, channels, ...], always. */
const channelsFirst = new Set([
  ...['Conv', 'ConvTranspose', 'FusedConv', 'BatchNormalization', 'InstanceNormalization', 'GroupNormalization', 'LRN'],
  ...['MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'LpPool', 'DepthToSpace', 'SpaceToDepth'],
]);
/** Operators that sum over or normalise the last axis. */
const channelsLast = new Set([
  'MatMul',
  'FusedMatMul',
  'LayerNormalization',
  'RMSNormalization',
  'SkipLayerNormalization',
]);

/**
 * Finds the channel axis of tensors from the operators that produce them. Reshaped tensors, for which that is unknown, count
 * as tokens [tokens, channels] or, if height and width would be equal, as a map.
 *
 * Makes one pass over all nodes; the returned function is a look-up.
 */
export function channelAxes(graph: PreparedGraph): (tensor: string) => ChannelAxis {
  const { nodes, shapes } = graph;
  const rank = (name: string): number => shapes.get(name)?.[0].length ?? 0;
  const axes = new Map<string, number>();
  for (const node of nodes) {
    for (const name of outputsOf(node)) {
      const axis = axisBehind(node, name, graph, axes);
      if (axis !== undefined) axes.set(name, axis);
    }
  }
  return (tensor) => {
    const axis = axes.get(tensor);
    const [, a, b, c] = shapes.get(tensor)![0];
    if (axis === 1) return 'first';
    if (axis === rank(tensor) - 1) return 'last';
    return rank(tensor) === 4 && b === c && a !== b ? 'first' : 'last';
  };
}

/** The channel axis of a value, with the batch as axis 0; undefined if unknown. */
function axisBehind(
  node: NodeMessage,
  name: string,
  { shapes, constants }: PreparedGraph,
  axes: ReadonlyMap<string, number>,
): number | undefined {
  const rank = shapes.get(name)?.[0].length ?? 0;
  if (channelsFirst.has(node.op_type)) return 1;
  if (channelsLast.has(node.op_type)) return rank - 1;
  if (node.op_type === 'Transpose') {
    const before = axes.get(node.input[0]!);
    const perm = node.attribute.find((attribute) => attribute.name === 'perm')?.ints?.map(Number);
    return before === undefined || perm === undefined ? undefined : perm.indexOf(before);
  }
  if (reshaping.has(node.op_type)) return undefined;
  // Element-wise operators keep the axes.
  const source = inputsOf(node).find(
    (input) => axes.has(input) && !constants.has(input) && shapes.get(input)?.[0].length === rank,
  );
  return source === undefined ? undefined : axes.get(source);
}

const reshaping = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Einsum']);
