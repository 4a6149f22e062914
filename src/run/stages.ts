import type { ImageSource } from '../data/dataset.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import type { ConfidenceKind } from '../gates/confidence.js';
import type { NetworkFlops } from '../networks/network.js';
import type { Claim, Findings } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import type { Entry } from '../store/store.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';
import type { EngineDescription, TimingRecord } from '../timing/record.js';
import { LazyEngine, type RunContext, stopwatch } from './context.js';
import type { Duplicates } from './duplicates.js';
import { extract, extractionOf, extractLater } from './extract.js';
import { FeatureSet } from './features.js';
import { type BySplit, everySplit, hashesOf, type Images, imagesOfAll, mapSplits, openMembers } from './images.js';
import { eachInTurn, openSource, plan } from './plan.js';
import {
  type ChosenGate,
  chooseLambdas,
  type ExitFit,
  fitParts,
  fittingOf,
  type SplitFeatures,
  scoreEntries,
  scoreImages,
  setsIn,
  trainingSets,
} from './score.js';
import { type Part, partsOf, type Row, withoutLabels } from './search.js';
import { type CachedGate, gateEntries, type TrainedPlace, trainGates } from './train.js';

/** Class and confidence of the images that no gate has learnt from. */
export type SplitScores = Omit<BySplit<Scores>, 'train'>;

/** The stages of a run, which analyses repeat with other gates, losses and confidences. Results are cached. */
export type Stages = Awaited<ReturnType<typeof openStages>>;

/** @throws InputError where a time budget has no timing to rest on */
function assertTimed({ thresholds }: Experiment, exitMs: readonly number[] | undefined): void {
  if ((thresholds.latencyMs ?? []).length === 0 || exitMs !== undefined) return;
  // A definition of a user's is a file: its name alone cannot be run.
  const first = 'dgate time on this experiment with --set thresholds.latencyMs=[] --set thresholds.margins=[0]';
  throw new InputError(`thresholds.latencyMs: no times of the exits are on record here; run first: ${first}`);
}

/** Opens the network, its images, and their features at each gate. */
async function openFeatures(context: RunContext, experiment: Experiment) {
  const planned = await plan(experiment);
  const { seconds, timed } = stopwatch();
  const engine = new LazyEngine(experiment.engine);
  const source = await openSource(context, experiment, planned);
  const exitMs = await context.exitTimes?.({ experiment, source, engine, imageHashes: {} });
  assertTimed(experiment, exitMs);
  const members = await timed('data', () => openMembers(context, experiment, planned, source));
  const images = imagesOfAll(members);
  const setsOf = (make: typeof extract | typeof extractLater) =>
    eachInTurn(members, ({ source: own, images: its, plan: { places, target } }) =>
      mapSplits(its, (of, label) => make(context, extractionOf(context, own, of, places, engine, label, target))),
    );
  const { given } = planned;
  const ofScores = () => mapSplits(images, (split) => givenFeatures(context, split));
  const lazy = given === undefined ? await setsOf(extractLater) : [await ofScores()];
  const isLazy = given !== undefined || (await canWait(context, experiment, images, lazy));
  const sets = isLazy ? lazy : await timed('extract', () => setsOf(extract));
  const features = sets.at(-1)!;
  // Drops undecodable images, so that positions agree in images, features and scores.
  const usable = await mapSplits(images, (of, _label, key) => sets.findLast((set) => set[key])![key]!.imagesOf(of));
  return {
    context,
    experiment,
    plan: planned,
    source,
    /** Each network with its images. */
    members,
    images: usable,
    /** Content ids of the images, by split, including those that cannot be decoded. */
    imageHashes: hashesOf(images),
    features,
    /** The features of each network of a cascade; of one network, `features` alone. */
    sets,
    /** The test images in the order of their features and scores. */
    testImages: usable.test,
    engine,
    /** Milliseconds of an image by its exit; undefined without a recorded timing of this system. */
    exitMs,
    seconds,
    timed,
  };
}

type Gates = readonly CachedGate[];

/** Opens the features of an experiment, and gives the work on them. */
export async function openStages(context: RunContext, experiment: Experiment) {
  const opened = await openFeatures(context, experiment);
  const { members, features, sets, engine, timed } = opened;
  const { given } = opened.plan;
  const scoreSplit = (split: 'heldOut' | 'test', gates: Gates, confidence: ConfidenceKind, within: RunContext) =>
    scoreImages(within, setsIn(sets, split), gates, confidence, split === 'test' ? split : 'held-out');
  return {
    ...opened,
    /** Trains each gate of the experiment alone, and chooses its lambda from a list. @param wanted positions from 0 */
    train: (as = experiment, wanted?: readonly number[], within = context): Promise<ChosenGate<CachedGate>[]> =>
      timed('train', async () => {
        const trained = await trainGates(within, as, trainingSets(sets, experiment), wanted);
        return (await chooseLambdas(trained, (gates) => scoreSplit('heldOut', gates, as.gates.confidence, within)))!;
      }),
    /** Scores of images that no gate has learnt from. For images without labels, the original's answer is the label. */
    score: (gates: Gates, confidence: ConfidenceKind, within = context): Promise<SplitScores> =>
      timed('score', async () => {
        if (given !== undefined)
          return { ...(given.heldOut && { heldOut: given.heldOut.scores }), test: given.test.scores };
        const heldOut = features.heldOut && (await scoreSplit('heldOut', gates, confidence, within));
        const test = await scoreSplit('test', gates, confidence, within);
        return { ...(heldOut && { heldOut }), test: experiment.unlabelled === undefined ? test : withoutLabels(test) };
      }),
    /** Scores of changed test images, such as corrupted ones. @param what the change in words */
    scoreChanged: (change: (images: ImageSource) => ImageSource, gates: Gates, what: string) =>
      timed('score', async () => {
        const label = `${what} test` as const;
        const changed = await eachInTurn(members, async ({ source, plan, images }, i) => {
          const usableTest = await sets[i]!.test.imagesOf(images.test);
          return extractLater(context, extractionOf(context, source, change(usableTest), plan.places, engine, label));
        });
        const scores = await scoreImages(context, changed, gates, experiment.gates.confidence, label);
        // Features of gates are large, and these serve no other gates.
        if (gates.length > 0) for (const { entry } of changed) await entry.remove();
        return scores;
      }),
  };
}

/** Stands for the features of images whose scores are given. */
const givenFeatures = ({ store }: RunContext, { sha256, count, classes }: ImageSource): FeatureSet =>
  new FeatureSet(store.entry('features', { scores: sha256 }), count, classes.length, []);

/** Whether extraction can wait: features are missing (removed, or not copied to this machine), but gates and scores are cached. */
async function canWait(
  context: RunContext,
  experiment: Experiment,
  images: Images,
  sets: readonly SplitFeatures[],
): Promise<boolean> {
  // What is fitted to logits needs them, and they are computed from features.
  if (fittingOf(experiment) !== undefined) return false;
  // The features record which images cannot be decoded.
  if (everySplit(images).some((split) => split.unreadable !== undefined)) return false;
  if (await allComplete(sets.flatMap(everySplit))) return false;
  const scores = await scoreEntries(context, experiment, sets);
  if (scores === undefined) return false;
  if (!(await allComplete([...gateEntries(context, experiment, trainingSets(sets, experiment)).flat(), ...scores])))
    return false;
  context.progress.note('features: not cached, and not needed: gates and scores are');
  return true;
}

/** Scores of images that no gate has learnt from, and the parts that choose and report thresholds. */
export interface ScoredParts {
  /** Where something is fitted to the exits: of the test images, each as fitted for the part that reports it. */
  readonly scores: SplitScores;
  readonly parts: readonly Part[];
  /** By exit, the last included, then by part; absent unless something is fitted. */
  readonly fits?: readonly (readonly ExitFit[])[];
}

/** Scores of an experiment, fitted if it asks for that, and its parts. */
export async function scoredParts(
  stages: Pick<Stages, 'experiment' | 'features' | 'sets' | 'score' | 'timed'>,
  gates: readonly CachedGate[],
): Promise<ScoredParts> {
  const { experiment, features, sets } = stages;
  const scores = await stages.score(gates, experiment.gates.confidence);
  const parts = partsOf(experiment, scores.test, scores.heldOut, features.test.classes);
  const fitting = fittingOf(experiment);
  if (fitting === undefined) return { scores, parts };
  const pairs = sets.map(({ heldOut, test }) => [heldOut ?? test, test] as const);
  const found = await stages.timed('score', () => fitParts(pairs, gates, fitting, parts));
  const confidences = scores.test.confidences.map((plain, exit) => {
    const own = plain.slice();
    for (const { evaluation } of found.parts) {
      for (const image of evaluation.images) own[image] = evaluation.scores.confidences[exit]![image]!;
    }
    return own;
  });
  return { ...found, scores: { ...scores, test: { ...scores.test, confidences } } };
}

async function allComplete(results: readonly { readonly entry: Entry }[]): Promise<boolean> {
  for (const { entry } of results) if (!(await entry.isComplete())) return false;
  return true;
}

/** The results of a run; `report.ts` turns them into tables and files. */
export interface RunOutcome extends ScoredRun {
  readonly findings: Findings;
  /** Judges the paper's claims. */
  readonly judge: Judge;
  /** The original's accuracy on held-out images; absent in cross-fitting. */
  readonly choosing?: { readonly accuracy: number; readonly count: number };
  /** The reproduced table of the paper, if any, the original network last. */
  readonly published: readonly PublishedRow[];
  readonly splits: Splits;
  /** Images that could not be decoded, by split: the file and the reason. */
  readonly leftOut: Readonly<Record<string, readonly string[]>>;
  /** Images that occur in two splits, or twice among the test images; undefined if not searched for. */
  readonly duplicates: Duplicates | undefined;
  readonly flops: NetworkFlops;
  readonly exitCosts: ExitCosts;
  /** The engine that extracted the features of the test images, in this run or before. */
  readonly extractedOn: EngineDescription | undefined;
  /** Seconds that extraction and training took when their results were computed, in this run or before. */
  readonly computedSeconds: { readonly extract: number; readonly train: number };
  /** Of the reported images, for the page; undefined if there can be none. */
  readonly thumbnails: Uint8Array | undefined;
  /** The source of the table's speeds. */
  readonly timing?: TimingRecord;
}

/** Numbers of images that train gates, choose thresholds and report results. */
export interface Splits {
  readonly train: number;
  readonly validation: string;
  readonly test: number;
}

/** What an analysis starts from: scores, and the rows of the table. */
export interface ScoredRun extends Stages {
  readonly gates: readonly TrainedPlace[];
  /** Scores of all gates on the images that no gate was trained on. */
  readonly scores: SplitScores;
  /** Images that choose thresholds, and images that report them. */
  readonly parts: readonly Part[];
  /** Searched rows, then fixed ones; empty for an analysis alone. */
  readonly rows: readonly Row[];
  /** The original network on the reported images. */
  readonly original: { readonly accuracy: number; readonly flops: number; readonly count: number };
}

/** Analyses, published tables and claims; `src/paper` implements it. */
export interface Analyses {
  /** The findings of an experiment's analysis; empty without one. */
  analyse(run: ScoredRun): Promise<Findings>;
  /** Published rows of a table, the original network last. @throws InputError for an unknown table */
  published(name: string): Promise<readonly PublishedRow[]>;
  /** Prepares the judge of an experiment's claims. @param name of the experiment, or of the published table it reproduces */
  judge(name: string): Promise<Judge>;
}

/** Judges claims by a run's CSV files alone. @param files rows of a file by its name without extension, if the run has it */
export type Judge = (
  files: (name: string) => readonly Readonly<Record<string, string>>[] | undefined,
  run: { readonly preset: string; readonly network: string; readonly dataset: string },
) => Claim[];

export interface AnalysisContext extends RunContext {
  readonly analyses: Analyses;
}
