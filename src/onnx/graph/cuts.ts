import type { NodeMessage } from '../proto.js';
import { type ChannelAxis, channelAxis } from './channels.js';
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
  const states = walk(graph, flops);
  const places = states.flatMap(({ live, spent, node }): Place[] => {
    const [tensor] = live;
    const shape = live.length === 1 && tensor !== graph.model.logits ? featureShape(graph, tensor!) : undefined;
    if (shape === undefined) return [];
    return [{ tensor: tensor!, op: node.op_type, shape, channels: channelAxis(graph, tensor!), flops: spent }];
  });
  const cuts: Cut[] = [];
  for (const [index, place] of places.entries()) {
    if (place.flops === 0 || place.flops === places[index + 1]?.flops) continue; // the last one alike stands for all
    const alike = places.filter((other) => other.flops === place.flops && other.tensor !== place.tensor);
    cuts.push({ ...place, alike });
  }
  return { flops, cuts, ...propose(cuts, flops.total, states) };
}

interface State {
  readonly node: NodeMessage;
  /** Values that exist after this node and are needed behind it. */
  readonly live: readonly string[];
  /** FLOPs up to here. */
  readonly spent: number;
}

function walk({ nodes, constants, model }: PreparedGraph, { perNode }: GraphFlops): State[] {
  const lastUse = new Map<string, number>([[model.logits, nodes.length]]);
  nodes.forEach((node, index) => {
    for (const name of inputsOf(node)) {
      if (!constants.has(name)) lastUse.set(name, Math.max(index, lastUse.get(name) ?? 0));
    }
  });
  const live = new Set([model.input.name]);
  let spent = 0;
  return nodes.map((node, index) => {
    spent += perNode[index]!;
    for (const name of outputsOf(node)) if (lastUse.has(name)) live.add(name);
    for (const name of inputsOf(node)) if (lastUse.get(name) === index) live.delete(name);
    return { node, live: [...live], spent };
  });
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

function propose(cuts: readonly Cut[], total: number, states: readonly State[]): Pick<Cuts, 'proposed' | 'missing'> {
  const proposed = new Set<number>();
  const missing: Crossing[] = [];
  for (const share of targets) {
    const away = (cut: Cut): number => Math.abs(cut.flops / total - share);
    const free = cuts.flatMap((cut, index) => (away(cut) > TOLERANCE || proposed.has(index) ? [] : [index]));
    const nearest = free.sort((a, b) => away(cuts[a]!) - away(cuts[b]!))[0];
    if (nearest !== undefined) proposed.add(nearest);
    else {
      const state = states.find(({ spent }) => spent / total >= share);
      missing.push({ share, tensors: state?.live ?? [] });
    }
  }
  return { proposed: [...proposed].sort((a, b) => a - b), missing };
}
