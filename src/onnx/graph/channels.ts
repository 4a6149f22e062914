import type { NodeMessage } from '../proto.js';
import type { PreparedGraph } from './prepare.js';
import { outputsOf } from './values.js';

/** Which axis of one image's features tells them apart: the first or the last; a row has one only. */
export type ChannelAxis = 'first' | 'last';

/** Operators with images as [n, channels, ...], always. */
const channelsFirst = new Set([
  ...['Conv', 'ConvTranspose', 'FusedConv', 'BatchNormalization', 'InstanceNormalization', 'GroupNormalization', 'LRN'],
  ...['MaxPool', 'AveragePool', 'GlobalAveragePool', 'GlobalMaxPool', 'LpPool', 'DepthToSpace', 'SpaceToDepth'],
]);
/** Operators whose last axis is the one that they sum over or normalise. */
const channelsLast = new Set([
  'MatMul',
  'FusedMatMul',
  'LayerNormalization',
  'RMSNormalization',
  'SkipLayerNormalization',
]);

/**
 * Which axis of a tensor holds the channels: as the operators that made it leave it. Reshaped tensors, of which that
 * cannot be told, count as tokens [tokens, channels] or, where height and width would be equal, as a map.
 */
export function channelAxis({ nodes, shapes, constants }: PreparedGraph, tensor: string): ChannelAxis {
  const producers = new Map(
    nodes.flatMap((node) => outputsOf(node).map((name): [string, NodeMessage] => [name, node])),
  );
  const rank = (name: string): number => shapes.get(name)?.[0].length ?? 0;
  const axis = axisOf(tensor);
  const [, a, b, c] = shapes.get(tensor)![0];
  if (axis === 1) return 'first';
  if (axis === rank(tensor) - 1) return 'last';
  return rank(tensor) === 4 && b === c && a !== b ? 'first' : 'last';

  /** The channels' axis, counted with the image's own; undefined where it cannot be told. */
  function axisOf(name: string, depth = 0): number | undefined {
    const node = producers.get(name);
    if (node === undefined || depth > 1000) return undefined;
    if (channelsFirst.has(node.op_type)) return 1;
    if (channelsLast.has(node.op_type)) return rank(name) - 1;
    if (node.op_type === 'Transpose') {
      const before = axisOf(node.input[0]!, depth + 1);
      const perm = node.attribute.find((attribute) => attribute.name === 'perm')?.ints?.map(Number);
      return before === undefined || perm === undefined ? undefined : perm.indexOf(before);
    }
    // What works on each number by itself leaves the axes as they are.
    const before = node.input.filter((input) => !constants.has(input) && rank(input) === rank(name));
    const kept = before.filter((input) => shapes.get(input)![0].length === shapes.get(name)![0].length);
    if (reshaping.has(node.op_type)) return undefined;
    for (const input of kept) {
      const found = axisOf(input, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

const reshaping = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Einsum']);
