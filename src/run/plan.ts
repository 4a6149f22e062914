import { type Geometry, geometryOf, usualGeometry } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import { engineNamed } from '../engines/registry.js';
import { InputError } from '../errors.js';
import { hasOwnExits, isCascade, isScores, poolingNamed } from '../experiment/network.js';
import { bestPooling } from '../experiment/resolve.js';
import type { Experiment } from '../experiment/schema.js';
import { addedFlops } from '../gates/confidence.js';
import type { GateTarget } from '../gates/loss.js';
import { networkByName } from '../networks/catalogue.js';
import { linearFlops, type NetworkFlops } from '../networks/network.js';
import {
  type AnyNetwork,
  checkPlaces,
  classCount,
  flopsOf,
  type GatePlace,
  gateFeatureCounts,
} from '../networks/onnx.js';
import type { UserNetwork } from '../onnx/network.js';
import { canonicalJson } from '../store/files.js';
import { type ExitCosts, exitCosts } from '../thresholds/evaluate.js';
import type { RunContext } from './context.js';
import type { GivenScores } from './given-scores.js';
import { type NetworkSource, once, openNetwork } from './source.js';

/** An experiment checked against its network, with what each exit costs. */
export interface Plan {
  /** The network itself; the last one of a cascade. */
  readonly network: AnyNetwork;
  /** Each network of a cascade alone, the last one included; absent for one network. */
  readonly members?: readonly Plan[];
  /** The network itself, if it is a user's ONNX file. */
  readonly user?: UserNetwork;
  /** The scores, if the experiment has a file of scores and no network. */
  readonly given?: GivenScores;
  /** Places of its gates; empty for a cascade, whose `members` have them. */
  readonly places: readonly GatePlace[];
  /** What those gates learn. */
  readonly target: GateTarget;
  /** All exits in the order of their costs, the original classifier last. */
  readonly exits: readonly Exit[];
  readonly flops: NetworkFlops;
  readonly costs: ExitCosts;
  /** FLOPs of each exit if only these gates are used (positions from 0, ascending), the original classifier last. */
  readonly costsOf: (exits: readonly number[]) => ExitCosts;
}

export interface Exit {
  /** Position of the network in the cascade, from 0. */
  readonly network: number;
  /** Where the gate sits; absent for the network's own classifier. */
  readonly place?: GatePlace;
  /** The gate takes the distances of the gate before it, so that it cannot be used without that. */
  readonly previous?: true;
}

/** Checks an experiment against its network and counts the FLOPs of each exit. Reads nothing but a user's ONNX file. */
export async function plan(experiment: Experiment): Promise<Plan> {
  const members = membersOf(experiment);
  const { gates, thresholds } = experiment;
  const added = (classes: number): number => addedFlops(gates.confidence, classes, thresholds.perClass);
  if (members.length > 1) return cascadePlan(await eachInTurn(members, plan), added);
  if (isScores(experiment.network)) return (await givenScores()).scoresPlan(experiment, experiment.network);
  const user = await userNetworkOf(experiment);
  const network = user?.network ?? networkByName(experiment.network as string);
  const { after, pooling, target } = gates;
  const places = after.map((stage, index): GatePlace => {
    return { stage, pooling: Array.isArray(pooling) ? pooling[index]! : pooling };
  });
  checkPlaces(network, places);
  const flops = flopsOf(network);
  const classes = classCount(network);
  const takesPrevious = (gate: number): boolean => gates.previous === true && gate > 0;
  const gateFlops = gateFeatureCounts(network, places).map((count, i) => {
    const own = user?.network.stages[places[i]!.stage - 1]?.own;
    return (own?.flops ?? linearFlops(count + (takesPrevious(i) ? classes : 0), classes)) + added(classes);
  });
  const cumulative = places.map(({ stage }) => flops.stages[stage - 1]!.cumulativeFlops);
  const costsOf = (gates: readonly number[]): ExitCosts => {
    const chosen = (of: readonly number[]): number[] => gates.map((gate) => of[gate]!);
    return exitCosts(chosen(cumulative), chosen(gateFlops), flops.flops);
  };
  const atGates = places.map((place, i): Exit => {
    return { network: 0, place, ...(takesPrevious(i) && { previous: true }) };
  });
  const exits = [...atGates, { network: 0 }];
  const costs = costsOf([...places.keys()]);
  return { network, ...(user && { user }), places, target, exits, flops, costs, costsOf };
}

/** FLOPs of each exit of a system that uses these exits only (ascending; the original may be the last). */
export function costsOfExits({ costsOf, costs }: Pick<Plan, 'costs' | 'costsOf'>, exits: readonly number[]): ExitCosts {
  const original = costs.length - 1;
  return exits.at(-1) === original ? costsOf(exits.slice(0, -1)) : costsOf(exits).slice(0, -1);
}

/** Loaded on demand: only a user's ONNX file needs its readers and ONNX Runtime. */
const userNetworks = () => import('./user-network.js');
const givenScores = () => import('./given-scores.js');

async function userNetworkOf({ network, dataset, engine }: Experiment): Promise<UserNetwork | undefined> {
  if (typeof network === 'string' || network.kind !== 'onnx') return undefined;
  const { id } = engineNamed(engine);
  if (!id.startsWith('ort-'))
    throw new InputError(`engine ${id}: runs no ONNX file; valid: ort-cpu, ort-webgpu, ort-cuda`);
  const { datasetLabel, openUserNetwork } = await userNetworks();
  return openUserNetwork(network, datasetLabel(dataset));
}

/**
 * Resolves `gates: 'search'` and `'best'` to places of the experiment's ONNX file, and `'own'` to its exits and a row with its thresholds;
 * an exit whose threshold is an input stays closed in it.
 *
 * @throws InputError
 */
export async function withFoundPlaces(experiment: Experiment): Promise<Experiment> {
  const { network, gates, thresholds } = experiment;
  if (typeof network === 'string' || network.kind !== 'onnx') return experiment;
  const { pooling: best, ...chosen } = network;
  if (best === undefined && !/^(spread|own)$/.test(String(network.gatesAfter))) return experiment;
  const { stages } = (await userNetworkOf(experiment))!.network;
  const after = gates.after.filter((stage) => stage <= stages.length);
  const pooling = best ? after.map((stage) => poolingNamed(bestPooling(stages[stage - 1]!))) : gates.pooling;
  const found = { ...experiment, gates: { ...gates, after, pooling } };
  if (!hasOwnExits(network)) return { ...found, network: { ...chosen, gatesAfter: stages.map(({ name }) => name) } };
  const own = after.map((stage) => stages[stage - 1]!.own?.threshold ?? Number.POSITIVE_INFINITY);
  const given = thresholds.fixed.filter((row) => String(row) !== String(own));
  const wrong = given.find((row) => row.length !== own.length);
  if (wrong === undefined) return { ...found, thresholds: { ...thresholds, fixed: [own, ...given] } };
  throw new InputError(
    `thresholds.fixed: [${wrong}]; valid: ${own.length} numbers, one for each exit of ${network.file}`,
  );
}

/** A planned experiment's network with its weights and images. */
export async function openSource(context: RunContext, experiment: Experiment, planned: Plan): Promise<NetworkSource> {
  if (planned.members !== undefined) {
    const members = membersOf(experiment);
    const sources = await eachInTurn(planned.members, (one, i) => openAlone(context, members[i]!, one));
    return cascadeSource(sources, geometryIn(context, members));
  }
  const source = await openAlone(context, experiment, planned);
  if (source.misfit !== undefined) throw new InputError(source.misfit);
  return source;
}

async function openAlone(context: RunContext, experiment: Experiment, planned: Plan): Promise<NetworkSource> {
  const source = await openFloat(context, experiment, planned);
  if (experiment.int8 !== true) return source;
  return (await import('./int8.js')).inEightBits(context, source, experiment.engine);
}

async function openFloat(context: RunContext, experiment: Experiment, planned: Plan): Promise<NetworkSource> {
  if (planned.given !== undefined) return (await givenScores()).scoresSource(planned.network, planned.given);
  if (planned.user !== undefined) return (await userNetworks()).userSource(planned.user, experiment, context);
  const { modelsRoot, progress } = context;
  const { checkpoint, weights } = experiment;
  return openNetwork(networkByName(planned.network.name), checkpoint, modelsRoot, progress, weights);
}

/** An experiment for each network of a cascade, with the gates inside it; for other networks the experiment itself. */
export function membersOf(experiment: Experiment): Experiment[] {
  const { network: chosen, gates } = experiment;
  if (!isCascade(chosen)) return [experiment];
  const named = chosen.networks.find(({ network }) => typeof network === 'string')?.network;
  const dataset = typeof named === 'string' ? networkByName(named).dataset : experiment.dataset;
  return chosen.networks.map(({ network, checkpoint, gates: inside }) => ({
    ...experiment,
    network: typeof network === 'string' || inside !== undefined ? network : { ...network, gatesAfter: [] },
    checkpoint,
    weights: undefined,
    dataset: typeof network === 'string' ? undefined : dataset,
    gates: inside === undefined ? { ...gates, after: [] } : { ...inside, confidence: gates.confidence },
  }));
}

/**
 * The plan of a cascade: its exits are those of its networks. An image costs all networks that it has passed, each up to its last
 * used exit.
 *
 * @param members each network alone, in order
 * @param added FLOPs of what the confidence adds at the end of a network but the last
 * @throws InputError if their classes differ or their costs do not ascend
 */
function cascadePlan(members: readonly Plan[], added: (classes: number) => number): Plan {
  const last = members.at(-1)!;
  const networks = members.map(({ network }) => network);
  sameClasses(networks, 'cascade');
  const problems = members.slice(1).flatMap(({ network, flops }, i): string[] => {
    const before = members[i]!;
    if (before.flops.flops < flops.flops) return [];
    const costs = `${before.flops.flops} FLOPs, then ${flops.flops}`;
    const valid = 'valid: each network dearer than the one before';
    return [`cascade: ${before.network.name}, then ${network.name}: ${costs}; ${valid}`];
  });
  if (problems.length > 0) throw new InputError(problems);
  const exits = members.flatMap((member, network) => member.exits.map((exit) => ({ ...exit, network })));
  const costsOf = (asked: readonly number[]): number[] => {
    const used = [...asked, exits.length - 1];
    let spent = 0;
    return members.flatMap((member, network) => {
      const first = exits.findIndex((exit) => exit.network === network);
      const own = used.filter((position) => exits[position]!.network === network);
      if (own.length === 0) return [];
      const before = spent;
      const exitsOfMember = own.map((position) => position - first);
      const ends = exitsOfMember.at(-1) === member.exits.length - 1 && network < members.length - 1;
      const costs = costsOfExits(member, exitsOfMember).map((cost) => before + cost);
      if (ends) costs[own.length - 1]! += added(classCount(last.network));
      spent = costs.at(-1)!;
      return costs;
    });
  };
  return { ...last, members, places: [], exits, costs: costsOf([...exits.keys()].slice(0, -1)), costsOf };
}

/** @throws InputError if the classes of networks differ @param where they are in the definition */
export function sameClasses(networks: readonly AnyNetwork[], where: string): void {
  const last = networks.at(-1)!;
  const classes = (one: AnyNetwork): string => `${classCount(one)} classes of ${one.dataset}`;
  const other = networks.find((one) => classes(one) !== classes(last));
  if (other === undefined) return;
  throw new InputError(
    `${where}: ${other.name} and ${last.name}: ${classes(other)}, ${classes(last)}; valid: networks on the same classes`,
  );
}

/** A cascade as the source of its last network, which is the original. @param given its networks in order */
function cascadeSource(given: readonly NetworkSource[], geometryOf: GeometryOf): NetworkSource {
  const last = given.at(-1)!;
  if (last.misfit !== undefined) throw new InputError(last.misfit);
  const members = given.map((member) => withPixelsOf(last, member, geometryOf));
  const heldOut = once(() => sharedHeldOut(members));
  const modules = [...new Set(members.flatMap((member) => member.modules))];
  return { ...last, modules, heldOut, earlier: members.slice(0, -1).map((member) => ({ ...member, heldOut })) };
}

/**
 * Makes a network of a cascade with another input size, crop or channel order read the last network's pixels, cropped and
 * resized.
 *
 * @param geometryOf how a network's images are cut; undefined if all have one size
 * @throws InputError if its own images do not fit it and cannot be resized
 */
function withPixelsOf(last: NetworkSource, given: NetworkSource, geometryOf: GeometryOf): NetworkSource {
  const { misfit, ...member } = given;
  const [base, own] = [geometryOf(last), geometryOf(given)];
  const [from, to] = [last.network.input, member.network.input];
  if (canonicalJson([from, base ?? null]) === canonicalJson([to, own ?? null])) return given;
  if (from.channels !== to.channels || base?.squash !== own?.squash) {
    if (misfit !== undefined) throw new InputError(misfit);
    const differ = `${member.network.name} and ${last.network.name} prepare their pixels differently`;
    return { ...member, misfit: `cascade: ${differ}; valid in one graph: as many channels, and both squash or crop` };
  }
  const seen = (geometry: Geometry | undefined): number =>
    geometry === undefined ? 1 : geometry.crop / geometry.resize;
  const size = ({ height, width }: AnyNetwork['input']) => ({ height, width });
  const field = misfit === undefined ? Math.min(1, seen(own) / seen(base)) : 1;
  const isReversed = base?.order !== own?.order;
  const resizing = { from: size(from), to: size(to), field, isReversed, preprocessing: last.preprocessing };
  return { ...member, resizing, modules: [...member.modules, 'data/resample'] };
}

type GeometryOf = (source: NetworkSource) => Geometry | undefined;

/** How images of different sizes (folders, ImageNet) are cut. */
function geometryIn({ datasets }: RunContext, members: readonly Experiment[]): GeometryOf {
  const isFolder = members.some(({ dataset }) => typeof dataset === 'object');
  return ({ dataset, network, preprocessing }) => {
    // Files on images without labels need no dataset.
    if (dataset === undefined && network.dataset === '') return geometryOf(preprocessing, usualGeometry);
    const { preprocessing: usual } = dataset ?? datasetNamed(network.dataset, datasets);
    if (!isFolder && usual.crop === undefined) return undefined;
    return geometryOf(preprocessing, geometryOf(usual, usualGeometry));
  };
}

/** Positions of the training images that none of these networks has learnt from. @throws InputError if there are none */
async function sharedHeldOut(members: readonly NetworkSource[]): Promise<Int32Array> {
  const [first, ...others] = await Promise.all(members.map((member) => member.heldOut()));
  const sets = others.map((positions) => new Set(positions));
  const shared = first!.filter((position) => sets.every((set) => set.has(position)));
  if (shared.length > 0) return shared;
  const names = members.map(({ network }) => network.name).join(', ');
  throw new InputError(
    `cascade of ${names}: no image was held out of the training of all; valid: thresholds.validation { kind: 'cross-fit' }`,
  );
}

/** An asynchronous `map`, one item after the other. */
export async function eachInTurn<T, U>(
  items: readonly T[],
  work: (item: T, index: number) => U | Promise<U>,
): Promise<U[]> {
  const results: U[] = [];
  for (const [index, item] of items.entries()) results.push(await work(item, index));
  return results;
}
