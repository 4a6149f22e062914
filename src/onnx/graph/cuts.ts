import type { NodeMessage } from '../proto.js';
import { type ChannelAxis, channelAxes } from './channels.js';
import { type GraphFlops, graphFlops } from './flops.js';
import type { PreparedGraph } from './prepare.js';
import { inputsOf, outputsOf } from './values.js';

/** A tensor that all paths pass through: the graph can be cut there, and a gate can read it. */
export interface Place {
  readonly tensor: string;
  /** Operator that produces it. */
  readonly op: string;
  /** Sizes for one image, without the batch axis. */
  readonly shape: readonly number[];
  readonly channels: ChannelAxis;
  /** FLOPs of one image up to here. */
  readonly flops: number;
}

/** Places with the same FLOPs before them, represented by the last: an activation's output rather than its convolution's. */
export interface Cut extends Place {
  readonly alike: readonly Place[];
}

/** Why a graph cannot be cut at a share of its FLOPs: the values that are needed behind that point. */
export interface Crossing {
  readonly share: number;
  readonly tensors: readonly string[];
}

export interface Cuts {
  readonly flops: GraphFlops;
  /** In strictly ascending order of FLOPs. */
  readonly cuts: readonly Cut[];
  /** Proposed gates: indices of `cuts` at about one fifth, two fifths, ... of the FLOPs. */
  readonly proposed: readonly number[];
  /** Shares without a proposal nearby, and the values that prevent one. */
  readonly missing: readonly Crossing[];
}

/**
 * Finds the tensors that all paths from the images to the logits pass through.
 *
 * Nodes are visited in topological order. After each node, some values are needed by later nodes; if it is a single value, it
 * is such a tensor. Any topological order gives the same ones, because every node lies before or behind such a tensor.
 */
export function findCuts(graph: PreparedGraph): Cuts {
  const flops = graphFlops(graph);
  const axisOf = channelAxes(graph);
  const cuts: Cut[] = [];
  let alike: Place[] = [];
  for (const { live, spent, node } of walk(graph, flops)) {
    const [tensor] = live;
    if (live.size !== 1 || tensor === graph.model.logits) continue;
    const shape = featureShape(graph, tensor!);
    if (shape === undefined) continue;
    const place = { tensor: tensor!, op: node.op_type, shape, channels: axisOf(tensor!), flops: spent };
    const last = cuts.at(-1);
    if (spent === 0) continue;
    if (last?.flops === spent) {
      // The last one alike stands for all.
      alike.push({ tensor: last.tensor, op: last.op, shape: last.shape, channels: last.channels, flops: last.flops });
      cuts[cuts.length - 1] = { ...place, alike };
    } else {
      alike = [];
      cuts.push({ ...place, alike });
    }
  }
  return { flops, cuts, ...propose(cuts, flops.total, (share) => crossing(graph, flops, share)) };
}

/** The state of the graph after one of its nodes. */
interface State {
  readonly node: NodeMessage;
  /** Values that exist after this node and are needed later; valid until the next state. */
  readonly live: ReadonlySet<string>;
  /** FLOPs up to here. */
  readonly spent: number;
}

function* walk({ nodes, constants, model }: PreparedGraph, { perNode }: GraphFlops): Generator<State> {
  const lastUse = new Map<string, number>([[model.logits, nodes.length]]);
  nodes.forEach((node, index) => {
    for (const name of inputsOf(node)) {
      if (!constants.has(name)) lastUse.set(name, Math.max(index, lastUse.get(name) ?? 0));
    }
  });
  const live = new Set([model.input.name]);
  let spent = 0;
  for (const [index, node] of nodes.entries()) {
    spent += perNode[index]!;
    for (const name of outputsOf(node)) if (lastUse.has(name)) live.add(name);
    for (const name of inputsOf(node)) if (lastUse.get(name) === index) live.delete(name);
    yield { node, live, spent };
  }
}

/** Values that are needed behind the point where a share of the FLOPs is spent. */
function crossing(graph: PreparedGraph, flops: GraphFlops, share: number): Crossing {
  for (const { live, spent } of walk(graph, flops)) {
    if (spent / flops.total >= share) return { share, tensors: [...live] };
  }
  return { share, tensors: [] };
}

/** Sizes of one image's part, if the value's first axis is the batch. */
function featureShape({ shapes }: PreparedGraph, tensor: string): number[] | undefined {
  const [one, two] = shapes.get(tensor)!;
  const perImage = one[0] === 1 && two[0] === 2 && one.slice(1).every((size, i) => size === two[i + 1]);
  return perImage && one.length >= 2 && one.length <= 4 ? one.slice(1) : undefined;
}

/** Shares of the FLOPs at which gates are proposed, and the tolerance. */
const targets = [0.2, 0.4, 0.6, 0.8];
const TOLERANCE = 0.1;

function propose(
  cuts: readonly Cut[],
  total: number,
  crossingAt: (share: number) => Crossing,
): Pick<Cuts, 'proposed' | 'missing'> {
  const proposed = new Set<number>();
  const missing: Crossing[] = [];
  for (const share of targets) {
    const away = (cut: Cut): number => Math.abs(cut.flops / total - share);
    const free = cuts.flatMap((cut, index) => (away(cut) > TOLERANCE || proposed.has(index) ? [] : [index]));
    const nearest = free.sort((a, b) => away(cuts[a]!) - away(cuts[b]!))[0];
    if (nearest !== undefined) proposed.add(nearest);
    else missing.push(crossingAt(share));
  }
  return { proposed: [...proposed].sort((a, b) => a - b), missing };
}
