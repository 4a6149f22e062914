import { engineNamed } from '../engines/registry.js';
import { InputError } from '../errors.js';
import { isCascade } from '../experiment/cascade.js';
import type { Experiment } from '../experiment/schema.js';
import { networkByName } from '../networks/catalogue.js';
import { linearFlops, type NetworkFlops } from '../networks/flops.js';
import { type AnyNetwork, classCount, flopsOf } from '../networks/onnx.js';
import { checkPlaces, type GatePlace, gateFeatureCounts } from '../networks/pooling.js';
import type { UserNetwork } from '../onnx/loaded.js';
import { type ExitCosts, exitCosts } from '../thresholds/evaluate.js';
import type { RunContext } from './context.js';
import { type NetworkSource, openNetwork } from './source.js';

/** An experiment checked against its network, with what each exit costs. */
export interface Plan {
  /** The network itself; the last one of a cascade. */
  readonly network: AnyNetwork;
  /** Each network of a cascade alone, the last one included; absent for one network. */
  readonly members?: readonly Plan[];
  /** The network itself, where it is a user's ONNX file. */
  readonly user?: UserNetwork;
  readonly places: readonly GatePlace[];
  readonly flops: NetworkFlops;
  readonly costs: ExitCosts;
  /** FLOPs of each exit where only some gates (of a cascade, networks) are used (positions from 0, ascending), the original classifier last. */
  readonly costsOf: (gates: readonly number[]) => ExitCosts;
}

/**
 * Checks an experiment against its network and counts what each exit costs. Nothing is read or run, except
 * that a user's ONNX file is read.
 */
export async function plan(experiment: Experiment): Promise<Plan> {
  const members = membersOf(experiment);
  if (members.length > 1) return cascadePlan(await eachInTurn(members, plan));
  const user = await userNetworkOf(experiment);
  const network = user?.network ?? networkByName(experiment.network as string);
  const { after, pooling } = experiment.gates;
  const places = after.map((stage, index): GatePlace => {
    return { stage, pooling: Array.isArray(pooling) ? pooling[index]! : pooling };
  });
  checkPlaces(network, places);
  const flops = flopsOf(network);
  const gateFlops = gateFeatureCounts(network, places).map((count) => linearFlops(count, classCount(network)));
  const cumulative = places.map(({ stage }) => flops.stages[stage - 1]!.cumulativeFlops);
  const costsOf = (gates: readonly number[]): ExitCosts => {
    const chosen = (of: readonly number[]): number[] => gates.map((gate) => of[gate]!);
    return exitCosts(chosen(cumulative), chosen(gateFlops), flops.flops);
  };
  return { network, ...(user && { user }), places, flops, costs: costsOf([...places.keys()]), costsOf };
}

/** Only a user's ONNX file needs its readers, and ONNX Runtime before anything runs. */
const userNetworks = () => import('./user-network.js');

async function userNetworkOf({ network, dataset, engine }: Experiment): Promise<UserNetwork | undefined> {
  if (typeof network === 'string' || isCascade(network)) return undefined;
  const { id } = engineNamed(engine);
  if (!id.startsWith('ort-'))
    throw new InputError(`engine ${id}: runs no ONNX file; valid: ort-cpu, ort-webgpu, ort-cuda`);
  const { datasetLabel, openUserNetwork } = await userNetworks();
  return openUserNetwork(network, datasetLabel(dataset));
}

/** A planned experiment's network with its weights and images. */
export async function openSource(context: RunContext, experiment: Experiment, planned: Plan): Promise<NetworkSource> {
  if (planned.members !== undefined) {
    const members = membersOf(experiment);
    return cascadeSource(await eachInTurn(planned.members, (one, i) => openSource(context, members[i]!, one)));
  }
  if (planned.user !== undefined) return (await userNetworks()).userSource(planned.user, experiment, context);
  const { modelsRoot, progress } = context;
  return openNetwork(networkByName(planned.network.name), experiment.checkpoint, modelsRoot, progress);
}

/** An experiment of each network of a cascade alone, without gates; of another network the experiment itself. */
export function membersOf(experiment: Experiment): Experiment[] {
  const { network: chosen, gates } = experiment;
  if (!isCascade(chosen)) return [experiment];
  const named = chosen.networks.find(({ network }) => typeof network === 'string')?.network;
  const dataset = typeof named === 'string' ? networkByName(named).dataset : experiment.dataset;
  return chosen.networks.map(({ network, checkpoint }) => ({
    ...experiment,
    // A network of a cascade needs no place for a gate.
    network: typeof network === 'string' ? network : { ...network, gatesAfter: [] },
    checkpoint,
    dataset: typeof network === 'string' ? undefined : dataset,
    gates: { ...gates, after: [] },
  }));
}

/**
 * The plan of a cascade: its exits are its networks, and an image has cost all networks that it has been through.
 *
 * @param members each network alone, in order
 * @throws InputError where they tell different classes apart, or one is no dearer than the one before
 */
function cascadePlan(members: readonly Plan[]): Plan {
  const networks = members.map(({ network }) => network);
  const last = members.at(-1)!;
  sameClasses(networks, 'cascade');
  const problems = members.slice(1).flatMap(({ network, flops }, i): string[] => {
    const before = members[i]!;
    if (before.flops.flops < flops.flops) return [];
    const costs = `${before.flops.flops} FLOPs, then ${flops.flops}`;
    const valid = 'valid: each network dearer than the one before';
    return [`cascade: ${before.network.name}, then ${network.name}: ${costs}; ${valid}`];
  });
  if (problems.length > 0) throw new InputError(problems);
  const costsOf = (gates: readonly number[]): number[] => {
    let sum = 0;
    return [...gates, networks.length - 1].map((position) => {
      sum += members[position]!.flops.flops;
      return sum;
    });
  };
  return { ...last, members, places: [], costs: costsOf([...members.keys()].slice(0, -1)), costsOf };
}

/** @throws InputError where networks tell different classes apart. @param where they stand in the definition */
export function sameClasses(networks: readonly AnyNetwork[], where: string): void {
  const last = networks.at(-1)!;
  const classes = (one: AnyNetwork): string => `${classCount(one)} classes of ${one.dataset}`;
  const other = networks.find((one) => classes(one) !== classes(last));
  if (other === undefined) return;
  throw new InputError(
    `${where}: ${other.name} and ${last.name}: ${classes(other)}, ${classes(last)}; valid: networks on the same classes`,
  );
}

/** A cascade as the source of its last network, whose answers are the original's. @param members in order */
function cascadeSource(members: readonly NetworkSource[]): NetworkSource {
  const last = members.at(-1)!;
  let held: Promise<Int32Array> | undefined;
  const heldOut = (): Promise<Int32Array> => {
    held ??= sharedHeldOut(members);
    return held;
  };
  const modules = [...new Set(members.flatMap((member) => member.modules))];
  return { ...last, modules, heldOut, earlier: members.slice(0, -1).map((member) => ({ ...member, heldOut })) };
}

/** Positions of the training images that none of these networks has learnt from. @throws InputError where there is none */
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

/** Does some work for each item, one after the other. */
export async function eachInTurn<T, U>(
  items: readonly T[],
  work: (item: T, index: number) => U | Promise<U>,
): Promise<U[]> {
  const results: U[] = [];
  for (const [index, item] of items.entries()) results.push(await work(item, index));
  return results;
}
