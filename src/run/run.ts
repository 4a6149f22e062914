import type { ImageSource } from '../data/dataset.js';
import { isCascade, isScores } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import { silent } from '../progress.js';
import { canBeShown, drawThumbnails } from '../report/explorer.js';
import { codeOf } from '../store/code.js';
import { CorruptEntryError, type Entry, makeAll } from '../store/store.js';
import type { Scores } from '../thresholds/evaluate.js';
import type { RunContext } from './context.js';
import { findDuplicates } from './duplicates.js';
import type { FeatureSet, Origin } from './features.js';
import { type Images, mapSplits } from './images.js';
import { areaTable, gateTable, searchTables } from './rows.js';
import { type ChosenGate, type SplitFeatures, scoresEntry, setsIn } from './score.js';
import { originalAccuracy, searchAndEvaluate, withChosenAgain } from './search.js';
import { type AnalysisContext, openStages, type RunOutcome, type Splits, type Stages, scoredParts } from './stages.js';
import { calibrationTable, comparedSystems } from './systems.js';
import type { CachedGate } from './train.js';

const THUMBNAILS = 'thumbnails.webp';

/** Runs an experiment from images to rows, as the paper does. A damaged cache entry is removed and made again. */
export function runExperiment(context: AnalysisContext, experiment: Experiment): Promise<RunOutcome> {
  return withRepair(context, () => runOnce(context, experiment));
}

/** Does some work, and repeats it if it finds a damaged cache entry, which is reported and removed. */
export async function withRepair<T>(context: RunContext, work: () => Promise<T>): Promise<T> {
  const repaired = new Set<string>();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // An entry that is damaged twice is no accident.
      if (!(error instanceof CorruptEntryError) || repaired.has(error.subject)) throw error;
      repaired.add(error.subject);
      context.progress.warn(`${error.message}; removed, it is made again`);
      await error.discard();
    }
  }
}

function accuracyOf(of: Scores): { accuracy: number; count: number } {
  return { accuracy: originalAccuracy(of), count: of.count };
}

async function runOnce(context: AnalysisContext, experiment: Experiment): Promise<RunOutcome> {
  // The trained network, frozen; images that no two splits share; their features at each gate.
  const stages = await openStages(context, experiment);
  const { plan, images, features } = stages;

  // Trains each gate alone on all training images; then scores the other images at all gates.
  const gates = await stages.train();
  const { scores, parts, fits } = await scoredParts(stages, gates);

  // Thresholds chosen on validation images, rows reported on the others.
  const rows = await stages.timed('search', () => {
    const rows = searchAndEvaluate(experiment, parts, plan.costs, plan.flops.flops, stages.exitMs);
    return withChosenAgain(rows, experiment, parts, plan.costs, plan.flops.flops, stages.exitMs);
  });
  const found = {
    ...stages,
    gates: gates.map((gate) => describedGate(plan, gate)),
    scores,
    parts,
    rows,
    original: { ...accuracyOf(scores.test), flops: plan.flops.flops },
    ...(scores.heldOut !== undefined && { choosing: accuracyOf(scores.heldOut) }),
    published: experiment.published === undefined ? [] : await context.analyses.published(experiment.published),
  };

  // The analysis of the scores.
  const findings = await context.analyses.analyse(found);
  const compared = await comparedSystems(stages, scores, rows);
  const tables = [
    ...searchTables(found),
    ...areaTable({ ...found, exitCosts: plan.costs }),
    ...compared.tables,
    ...findings.tables,
    ...calibrationTable(plan, fits),
    ...gateTable(found),
  ];
  const origins = await originsOf(stages, gates);
  return {
    ...found,
    findings: { ...findings, tables, figures: [...compared.figures, ...findings.figures] },
    judge: await context.analyses.judge(experiment.published ?? experiment.name),
    splits: describeSplits(experiment, images),
    leftOut: await leftOutOf(Object.assign({}, ...stages.sets) as SplitFeatures),
    // In a cascade the network with gates has the training images.
    duplicates: await findDuplicates(context, stages.sets.find(({ train }) => train !== undefined) ?? features),
    flops: plan.flops,
    exitCosts: plan.costs,
    extractedOn: origins.at(-1)?.engine,
    thumbnails: await thumbnailsOf(context, images.test, scores.test),
    computedSeconds: {
      extract: origins.reduce((sum, origin) => sum + (origin?.seconds ?? 0), 0),
      train: await secondsOf(gates),
    },
  };
}

/** Where a gate sits, the lambda that was chosen for it, and what others reached. */
function describedGate(plan: Stages['plan'], { network, index, width, l2, reached, ...gate }: ChosenGate<CachedGate>) {
  const place = (plan.members?.[network] ?? plan).places[index]!;
  const tried = gate.tried.map((one) => ({ l2: one.gate.l2, ...one.gate.reached, accuracy: one.accuracy }));
  const chosen = { l2, ...reached, ...(tried.length > 1 && { tried }) };
  return { ...place, features: width, ...chosen, ...(plan.members && { network }) };
}

/** What a page shows of the images; cached, so that a run with everything cached reads no image. */
async function thumbnailsOf({ store }: RunContext, images: ImageSource, scores: Scores) {
  if (!canBeShown(images, scores)) return undefined;
  const entry = store.entry('thumbnails', { images: images.sha256, code: codeOf('report/explorer') });
  const make = async (): Promise<void> => {
    await entry.write(THUMBNAILS, [await drawThumbnails(images)]);
    await entry.finish();
  };
  await makeAll(silent, [{ entry, label: 'thumbnails', make }]);
  return entry.read(THUMBNAILS);
}

/** Images that could not be decoded, by split. */
async function leftOutOf(features: SplitFeatures): Promise<Record<string, readonly string[]>> {
  const found: Record<string, readonly string[]> = {};
  await mapSplits(features, async (set, label) => {
    const files = await set.unreadable();
    if (files.length > 0) found[label] = files;
  });
  return found;
}

/** Where the features of each split came from, the test images' last; for removed features, as gates and scores record it. */
async function originsOf(
  { context, experiment, features, sets }: Stages,
  gates: readonly CachedGate[],
): Promise<(Origin | undefined)[]> {
  const { confidence } = experiment.gates;
  const kept = async (set: FeatureSet, entry: Entry | undefined): Promise<Origin | undefined> =>
    (await set.origin()) ?? ((await entry?.manifest())?.notes['features'] as Origin | undefined);
  const { heldOut } = features;
  const ofSplit = (split: 'heldOut' | 'test') => {
    const all = setsIn(sets, split);
    const entry = scoresEntry(context, all, gates, confidence);
    return all.map((set) => kept(set, set === all.at(-1) ? entry : undefined));
  };
  return Promise.all([
    ...sets.flatMap(({ train }, i) =>
      train === undefined ? [] : [kept(train, gates.find(({ network }) => network === i)?.entry)],
    ),
    ...(heldOut === undefined ? [] : ofSplit('heldOut')),
    ...ofSplit('test'),
  ]);
}

/** Seconds that these cached results took when they were computed. */
async function secondsOf(results: readonly ({ readonly entry: Entry } | undefined)[]): Promise<number> {
  const manifests = await Promise.all(results.map((result) => result?.entry.manifest()));
  return manifests.reduce((sum, manifest) => sum + Number(manifest?.notes['seconds'] ?? 0), 0);
}

function describeSplits({ thresholds, network, seed }: Experiment, images: Images): Splits {
  const { validation } = thresholds;
  const held = images.heldOut?.count;
  const unseen = isCascade(network)
    ? 'no network has learnt from, named by their checkpoints'
    : 'the network has not learnt from, named by its checkpoint';
  const heldOut = isScores(network)
    ? `${held} images of ${network.choosing}`
    : `${held} training images that ${unseen}`;
  const crossFit = ({ folds }: { folds: number }): string =>
    `cross-fit, ${folds} folds of the test images: each fold is reported with thresholds chosen on ` +
    `the other${folds > 2 ? 's' : ''} (seed ${seed})`;
  return {
    train: images.train?.count ?? 0,
    validation: validation.kind === 'held-out' ? heldOut : crossFit(validation),
    test: images.test.count,
  };
}
