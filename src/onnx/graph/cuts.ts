import { InputError } from '../../errors.js';
import type { MapShape } from '../../networks/network.js';
import type { OnnxNetwork, OnnxStage } from '../../networks/onnx.js';
import { dataTypes, type NodeMessage } from '../proto.js';
import { type ChannelAxis, channelAxes, chosenAxis, likenesses } from './channels.js';
import { type GraphFlops, graphFlops } from './flops.js';
import { isConstant, type PreparedGraph } from './prepare.js';
import type { RunModel } from './probe.js';
import { batchAxis, inputsOf, outputsOf } from './values.js';

/** A tensor that all paths pass through, where a graph can be cut and a gate can read. */
interface Place {
  readonly tensor: string;
  readonly op: string;
  /** Sizes of one image. */
  readonly shape: readonly number[];
  readonly channels: ChannelAxis;
  /** The axis of the images, where that is not the first. */
  readonly images?: number;
  /** FLOPs of one image up to here. */
  readonly flops: number;
  /** Of 8-bit numbers. */
  readonly flops8: number;
}

/** The last of several places with the same FLOPs: an activation's output rather than its convolution's. */
interface Cut extends Place {
  readonly alike: readonly Place[];
}

/** Why a graph cannot be cut at a share of its FLOPs. */
interface Crossing {
  readonly share: number;
  readonly why: string;
}

export interface Cuts {
  readonly flops: GraphFlops;
  /** In strictly ascending order of FLOPs. */
  readonly cuts: readonly Cut[];
  /** Proposed gates: indices of `cuts` near one fifth, two fifths, ... of the FLOPs. */
  readonly proposed: readonly number[];
  /** The same near one tenth, two tenths, ...; among these the places of gates are searched. */
  readonly spread: readonly number[];
  /** Fifths without a cut nearby. */
  readonly missing: readonly Crossing[];
  /** Channel axes that were decided by running images. */
  readonly notes: readonly string[];
}

/**
 * Finds the tensors that all paths from the images to the logits pass through: visits the nodes in topological order and
 * looks for points at which later nodes need a single value. Any topological order gives the same ones.
 */
export async function findCuts(graph: PreparedGraph, run: RunModel): Promise<Cuts> {
  const flops = graphFlops(graph);
  const { axisOf, notes } = await checkedAxes(graph, flops, run);
  const cuts: Cut[] = [];
  let alike: Place[] = [];
  for (const { live, spent, spent8, node } of walk(graph, flops)) {
    const [tensor = ''] = live;
    if (live.size !== 1 || tensor === graph.logits || spent === 0 || spent === flops.total) continue;
    const features = featuresIn(graph, tensor, axisOf);
    if (typeof features === 'string') continue;
    const place = { tensor, op: node.op_type, ...features, flops: spent, flops8: spent8 };
    const last = cuts.at(-1);
    if (last?.flops === spent) {
      // The last place represents all. Not one behind a `DequantizeLinear`: the next part would not start with 8-bit numbers.
      if (node.op_type === 'DequantizeLinear' && node.input[0] === last.tensor) {
        alike.push(place);
        continue;
      }
      const { alike: _, ...before } = last;
      alike.push(before);
      cuts[cuts.length - 1] = { ...place, alike };
    } else {
      alike = [];
      cuts.push({ ...place, alike });
    }
  }
  const { total } = flops;
  const { proposed, missed } = propose(cuts, total, 5);
  const missing = missed.map((share) => crossing(graph, flops, axisOf, share));
  return { flops, cuts, notes, proposed, missing, spread: propose(cuts, total, 10).proposed };
}

interface State {
  readonly node: NodeMessage;
  /** Values that later nodes need; valid until the next state. */
  readonly live: ReadonlySet<string>;
  readonly spent: number;
  readonly spent8: number;
}

function* walk(graph: PreparedGraph, { perNode, widths }: GraphFlops): Generator<State> {
  const { nodes, model } = graph;
  const lastUse = new Map<string, number>([[graph.logits, nodes.length]]);
  nodes.forEach((node, index) => {
    for (const name of inputsOf(node)) {
      if (!isConstant(graph, name)) lastUse.set(name, Math.max(index, lastUse.get(name) ?? 0));
    }
  });
  const live = new Set([model.input.value]);
  let [spent, spent8] = [0, 0];
  for (const [index, node] of nodes.entries()) {
    spent += perNode[index]!;
    if (widths[index] === 8) spent8 += perNode[index]!;
    for (const name of outputsOf(node)) if (lastUse.has(name)) live.add(name);
    for (const name of inputsOf(node)) if (lastUse.get(name) === index) live.delete(name);
    yield { node, live, spent, spent8 };
  }
}

type AxisOf = ReturnType<typeof channelAxes>;

async function checkedAxes(graph: PreparedGraph, flops: GraphFlops, run: RunModel) {
  const followed = channelAxes(graph);
  const sizes = new Map<string, readonly number[]>();
  for (const { live } of walk(graph, flops)) {
    const [tensor = ''] = live;
    const found = live.size === 1 ? featuresIn(graph, tensor, () => 'last') : '';
    if (typeof found !== 'string') sizes.set(tensor, found.shape);
  }
  const maps = [...sizes].flatMap(([tensor, { length }]) => (length > 1 ? [tensor] : []));
  const likeness = await likenesses(graph, maps, run);
  const axes = new Map<string, ChannelAxis | undefined>();
  const changed: string[] = [];
  for (const [tensor, shape] of sizes) {
    const axis = chosenAxis(followed(tensor), shape, likeness.get(tensor));
    axes.set(tensor, axis);
    if (axis !== undefined && axis !== followed(tensor)) {
      changed.push(`${tensor} (the ${axis} of ${shape.join(' x ')})`);
    }
  }
  const why = 'changes of an image at two places arrive at two places along the others';
  const note = `channels of ${firstOf(changed)} are those that a run of images shows: ${why}`;
  const notes = changed.length === 0 ? [] : [note];
  return { axisOf: (tensor: string) => axes.get(tensor), notes };
}

/** The first three names, and how many more there are. */
const firstOf = (names: readonly string[]): string =>
  `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;

/** Why there is no place at the point where a share of the FLOPs is spent. */
function crossing(graph: PreparedGraph, flops: GraphFlops, axisOf: AxisOf, share: number): Crossing {
  for (const { live, spent } of walk(graph, flops)) {
    if (spent / flops.total < share) continue;
    const [first = ''] = live;
    if (live.size > 1) return { share, why: `${firstOf([...live])} are all needed behind that point` };
    const features = featuresIn(graph, first, axisOf);
    return { share, why: typeof features === 'string' ? `${first} ${features}` : 'no place is near' };
  }
  return { share, why: 'no place is near' };
}

/** The layout of a value for one image, or why no gate can read it. */
function featuresIn(
  graph: PreparedGraph,
  tensor: string,
  axisOf: AxisOf,
): Pick<Place, 'shape' | 'channels' | 'images'> | string {
  const { shapes, formats, constants } = graph;
  const { type, quantised, isBlocked } = formats.get(tensor) ?? { type: dataTypes.float };
  if (isBlocked === true) return "lies in blocks of channels, ONNX Runtime's own layout for one processor";
  const isReal = type === dataTypes.float || type === dataTypes.float16;
  const isScaled = quantised?.every((name) => constants.has(name)) ?? false;
  if (!(isReal || isScaled)) return 'holds whole numbers of a scale that each image sets anew, or of none';
  const [one, two] = shapes.get(tensor) ?? [[], []];
  const axis = batchAxis([one, two]);
  if (axis === undefined || one[axis] !== 1) return 'has no axis of images alone';
  if (one.length < 2 || one.length > 4) return `has ${one.length} axes`;
  const channels = axisOf(tensor);
  if (channels === undefined) {
    return 'has channels along an axis that cannot be told: what goes into it disagrees, was reshaped, or mixes places';
  }
  return { shape: one.toSpliced(axis, 1), channels, ...(axis > 0 && { images: axis }) };
}

/** The cuts nearest to 1/n, 2/n, ... of the FLOPs, at most half of 1/n away, and the shares that have none. */
function propose(cuts: readonly Cut[], total: number, n: number) {
  const proposed = new Set<number>();
  const missed: number[] = [];
  for (const share of Array.from({ length: n - 1 }, (_, i) => (i + 1) / n)) {
    const away = (cut: Cut): number => Math.abs(cut.flops / total - share);
    const free = cuts.flatMap((cut, index) => (away(cut) > 0.5 / n || proposed.has(index) ? [] : [index]));
    const nearest = free.sort((a, b) => away(cuts[a]!) - away(cuts[b]!))[0];
    if (nearest !== undefined) proposed.add(nearest);
    else missed.push(share);
  }
  return { proposed: [...proposed].sort((a, b) => a - b), missed };
}

/**
 * Describes a user's network.
 *
 * @param gatesAfter names of tensors; `auto`: `Cuts.proposed`; `spread`: `Cuts.spread`
 * @throws InputError naming the tensors at which the graph cannot be cut
 */
export function describeGraph(
  graph: PreparedGraph,
  found: Cuts,
  options: {
    readonly name: string;
    readonly dataset: string;
    readonly gatesAfter: readonly string[] | 'auto' | 'spread';
  },
): OnnxNetwork {
  const { logits } = graph;
  const { gatesAfter, ...named } = options;
  const { input, file } = graph.model;
  const cuts =
    typeof gatesAfter === 'string'
      ? found[gatesAfter === 'spread' ? 'spread' : 'proposed'].map((index) => found.cuts[index]!)
      : chosenCuts(gatesAfter, found, file.path);
  if (typeof gatesAfter === 'string' && cuts.length === 0) throw new InputError(`${file.path}: ${whyNone(found)}`);
  return {
    format: 'onnx',
    ...named,
    input: { channels: input.channels, height: input.height, width: input.width },
    logits,
    classes: graph.shapes.get(logits)![0][1]!,
    parameters: graph.parameters,
    flops: found.flops.total,
    stages: cuts.map(stageOf),
  };
}

function chosenCuts(names: readonly string[], { cuts }: Cuts, path: string): Place[] {
  const problems: string[] = [];
  const places = cuts.flatMap((cut): Place[] => [...cut.alike, cut]);
  const chosen = names.flatMap((name): Place[] => {
    const cut = places.find(({ tensor }) => tensor === name);
    if (cut !== undefined) return [cut];
    problems.push(`${path}: gatesAfter ${name}: the graph cannot be cut there; see: dgate model inspect ${path}`);
    return [];
  });
  if (problems.length > 0) throw new InputError(problems);
  const wrong = chosen.findIndex((cut, i) => i > 0 && cut.flops <= chosen[i - 1]!.flops);
  if (wrong < 0) return chosen;
  const order = `gatesAfter ${names[wrong]} does not lie behind ${names[wrong - 1]}`;
  throw new InputError(`${path}: ${order}; valid: in their order, each once`);
}

export function whyNone({ cuts, missing, flops }: Cuts): string {
  if (flops.total === 0) return 'nothing in it is counted as cost: it has no convolution, Gemm or MatMul';
  const [first] = missing;
  const others = cuts.map((cut) => `${cut.tensor} (${((100 * cut.flops) / flops.total).toFixed(1)} %)`);
  const elsewhere = cuts.length === 0 ? '' : `; places elsewhere: ${others.join(', ')}`;
  const why = `at ${100 * (first?.share ?? 0)} % of them ${first?.why ?? 'nothing is'}`;
  return `no place for a gate between a tenth and nine tenths of the FLOPs: ${why}${elsewhere}`;
}

const stageOf = (cut: Place): OnnxStage => {
  return { name: cut.tensor, ...mapLayoutOf(cut), cumulativeFlops: cut.flops };
};

export function mapLayoutOf(place: Pick<Place, 'shape' | 'channels'>): MapShape & Pick<OnnxStage, 'layout'> {
  const { shape, channels: axis } = place;
  if (shape.length === 1) return { channels: shape[0]!, height: 1, width: 1, layout: 'row' };
  const channels = axis === 'first' ? shape[0]! : shape.at(-1)!;
  const [height = 1, width = 1] = axis === 'first' ? shape.slice(1) : shape.slice(0, -1);
  return { channels, height, width, layout: `${shape.length === 2 ? 'tokens' : 'maps'}-${axis}` };
}
