import type { NodeMessage } from '../proto.js';
import { type ChannelAxis, channelAxes } from './channels.js';
import { type GraphFlops, graphFlops } from './flops.js';
import type { PreparedGraph } from './prepare.js';
import { inputsOf, outputsOf } from './values.js';

/** A tensor that everything passes through: a graph can be cut there, and a gate can read it. */
export interface Place {
  readonly tensor: string;
  /** Operator that makes it. */
  readonly op: string;
  /** Sizes for one image, the image's own axis left out. */
  readonly shape: readonly number[];
  readonly channels: ChannelAxis;
  /** FLOPs of one image up to here. */
  readonly flops: number;
}

/** Places with the same FLOPs before them, by the last of them: the result of an activation, say, not of its convolution. */
export interface Cut extends Place {
  readonly alike: readonly Place[];
}

/** Why a graph cannot be cut at a share of its FLOPs: values that are needed behind that point. */
export interface Crossing {
  readonly share: number;
  readonly tensors: readonly string[];
}

export interface Cuts {
  readonly flops: GraphFlops;
  /** In the order of their FLOPs, each larger than the one before. */
  readonly cuts: readonly Cut[];
  /** Where a gate is proposed: indices of `cuts`, about a fifth, two fifths, ... of the FLOPs. */
  readonly proposed: readonly number[];
  /** Shares near which nothing is proposed, and what is in the way. */
  readonly missing: readonly Crossing[];
}

/**
 * Finds the tensors through which everything passes from the images to the logits.
 *
 * Nodes run in an order in which they can; after each, some values are needed by nodes that come later. Where that is
 * one value only, it is such a tensor; any other order gives the same ones, as every node lies before such a tensor or
 * behind it.
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

/** The graph behind one of its nodes. */
interface State {
  readonly node: NodeMessage;
  /** Values that exist after this node and are needed behind it; good until the next state. */
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

/** Sizes of one image's part, where a value holds each image's own numbers one after the other. */
function featureShape({ shapes }: PreparedGraph, tensor: string): number[] | undefined {
  const [one, two] = shapes.get(tensor)!;
  const perImage = one[0] === 1 && two[0] === 2 && one.slice(1).every((size, i) => size === two[i + 1]);
  return perImage && one.length >= 2 && one.length <= 4 ? one.slice(1) : undefined;
}

/** Shares of the FLOPs at which gates are proposed, and how far from them a place may lie. */
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
