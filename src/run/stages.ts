import type { ImageSource } from '../data/dataset.js';
import { engineNamed } from '../engines/registry.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import type { ConfidenceKind } from '../gates/confidence.js';
import { networkByName } from '../networks/catalogue.js';
import { linearFlops, type NetworkFlops } from '../networks/flops.js';
import { type AnyNetwork, classCount, flopsOf } from '../networks/onnx.js';
import { checkPlaces, type GatePlace, gateFeatureCounts } from '../networks/pooling.js';
import type { UserNetwork } from '../onnx/loaded.js';
import type { Entry } from '../store/store.js';
import { type ExitCosts, exitCosts, type Scores } from '../thresholds/evaluate.js';
import { LazyEngine, type RunContext } from './context.js';
import { extract, extractLater, type Split } from './extract.js';
import type { FeatureSet } from './features.js';
import { hashesOf, type Images, openImages } from './images.js';
import { scoreImages, scoresEntry } from './score.js';
import { type NetworkSource, openNetwork } from './source.js';
import { type BySplit, everySplit, mapSplits } from './splits.js';
import { type CachedGate, gateEntries, trainGates } from './train.js';

/** An experiment checked against its network, with what each exit costs. */
export interface Plan {
  readonly network: AnyNetwork;
  /** The network itself, where it is a user's ONNX file. */
  readonly user?: UserNetwork;
  readonly places: readonly GatePlace[];
  readonly flops: NetworkFlops;
  readonly costs: ExitCosts;
  /** FLOPs of each exit where only some gates are used (positions from 0, ascending), the original classifier last. */
  readonly costsOf: (gates: readonly number[]) => ExitCosts;
}

/**
 * Checks an experiment against its network and counts what each exit costs. Nothing is read or run, except
 * that a user's ONNX file is read.
 */
export async function plan(experiment: Experiment): Promise<Plan> {
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
  if (typeof network === 'string') return undefined;
  const { id } = engineNamed(engine);
  if (!id.startsWith('ort-'))
    throw new InputError(`engine ${id}: runs no ONNX file; valid: ort-cpu, ort-webgpu, ort-cuda`);
  const { datasetLabel, openUserNetwork } = await userNetworks();
  return openUserNetwork(network, datasetLabel(dataset));
}

/** A planned experiment's network with its weights and images. */
export async function openSource(context: RunContext, experiment: Experiment, planned: Plan): Promise<NetworkSource> {
  if (planned.user !== undefined) return (await userNetworks()).userSource(planned.user, experiment, context);
  const { modelsRoot, progress } = context;
  return openNetwork(networkByName(planned.network.name), experiment.checkpoint, modelsRoot, progress);
}

/** What is extracted from each split. */
export type SplitFeatures = BySplit<FeatureSet>;

/** Class and confidence of the images that no gate has learnt from. */
export interface SplitScores {
  readonly heldOut?: Scores;
  readonly test: Scores;
}

/**
 * The stages of a run that analyses go back to: with other gates, another loss, another confidence. Each takes what this
 * experiment or another has computed before from the cache.
 */
export interface Stages {
  readonly context: RunContext;
  readonly experiment: Experiment;
  readonly plan: Plan;
  readonly source: NetworkSource;
  readonly images: Images;
  /** Content ids of the images, by split, those included that cannot be decoded. */
  readonly imageHashes: Readonly<Record<string, string>>;
  readonly features: SplitFeatures;
  /** The test images in the order of their features and scores. */
  readonly testImages: ImageSource;
  readonly engine: LazyEngine;
  /** Gates as the experiment describes them, each alone on all training images. @param wanted positions from 0 */
  readonly train: (as?: Experiment, wanted?: readonly number[], context?: RunContext) => Promise<CachedGate[]>;
  /** What those gates say of every image they have not learnt from. */
  readonly score: (
    gates: readonly CachedGate[],
    confidence: ConfidenceKind,
    context?: RunContext,
  ) => Promise<SplitScores>;
  /** Seconds that each stage took so far. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Does some work and adds its time to a stage. */
  readonly timed: <T>(stage: string, work: () => T | Promise<T>) => Promise<T>;
}

/** Opens the network, its images, and their features at each gate: everything that needs the network itself. */
export async function openStages(context: RunContext, experiment: Experiment): Promise<Stages> {
  const planned = await plan(experiment);
  const { seconds, timed } = stopwatch();
  const engine = new LazyEngine(experiment.engine);
  const source = await openSource(context, experiment, planned);
  const images = await timed('data', () => openImages(context, experiment, source));
  const setOf = <T>(make: (...all: Parameters<typeof extract>) => T, split: ImageSource, label: Split): T =>
    make(context, source, split, planned.places, engine, label);
  const lazy = await mapSplits(images, (split, label) => setOf(extractLater, split, label));
  const features = (await canWait(context, experiment, images, lazy, engine))
    ? lazy
    : await timed('extract', () => mapSplits(images, (split, label) => setOf(extract, split, label)));
  const { train, heldOut, test } = features;
  // Without the images that could not be decoded, so that positions mean the same in images, features and scores.
  const usable: Images = await mapSplits(features, (set, _label, key) => set.imagesOf(images[key]!));
  return {
    context,
    experiment,
    plan: planned,
    source,
    images: usable,
    imageHashes: hashesOf(images),
    features,
    testImages: usable.test,
    engine,
    train: (as = experiment, wanted, within = context) =>
      timed('train', () => trainGates(within, as, train, engine, wanted)),
    score: (gates, confidence, within = context) =>
      timed('score', async () => {
        const held = heldOut && (await scoreImages(within, heldOut, gates, confidence, 'held-out'));
        return { ...(held && { heldOut: held }), test: await scoreImages(within, test, gates, confidence, 'test') };
      }),
    seconds,
    timed,
  };
}

/**
 * Whether extraction can wait: some features are not in the cache, but the gates that were trained on them and all
 * scores are (the rest may have been removed to save space, or never copied to the machine that times the network).
 */
async function canWait(
  context: RunContext,
  experiment: Experiment,
  images: Images,
  features: SplitFeatures,
  engine: LazyEngine,
): Promise<boolean> {
  // The features record which images cannot be decoded.
  if (everySplit(images).some((split) => split.unreadable !== undefined)) return false;
  if (await allComplete(everySplit(features))) return false;
  const gates = gateEntries(context, experiment, features.train, engine);
  const scored = [features.heldOut, features.test].filter((set) => set !== undefined);
  const scores = scored.map((set) => scoresEntry(context, set, gates, experiment.gates.confidence));
  if (!(await allComplete([...gates, ...scores.map((entry) => ({ entry }))]))) return false;
  context.progress.note('features: not cached, and not needed: gates and scores are');
  return true;
}

async function allComplete(results: readonly { readonly entry: Entry }[]): Promise<boolean> {
  for (const { entry } of results) if (!(await entry.isComplete())) return false;
  return true;
}

function stopwatch(): Pick<Stages, 'seconds' | 'timed'> {
  const seconds: Record<string, number> = {};
  return {
    seconds,
    timed: async (stage, work) => {
      const start = performance.now();
      const result = await work();
      seconds[stage] = (seconds[stage] ?? 0) + (performance.now() - start) / 1000;
      return result;
    },
  };
}
