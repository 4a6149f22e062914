import type { ImageSource } from '../data/dataset.js';
import type { EngineDescription } from '../engines/engine.js';
import type { Experiment } from '../experiment/schema.js';
import { networkByName } from '../networks/catalogue.js';
import { linearFlops, type NetworkFlops, networkFlops } from '../networks/flops.js';
import { checkPlaces, type GatePlace, gateFeatureCounts } from '../networks/pooling.js';
import { type PublishedRow, readPublished } from '../report/published.js';
import { type Entry, RottenError } from '../store/store.js';
import { type ExitCosts, exitCosts } from '../thresholds/evaluate.js';
import { LazyEngine, type RunContext } from './context.js';
import { extract } from './extract.js';
import { type Images, openImages } from './images.js';
import { scoreImages } from './score.js';
import { originalAccuracy, partsOf, type Row, searchAndEvaluate } from './search.js';
import { type NetworkSource, openNetwork } from './source.js';
import { trainGates } from './train.js';

/** What a run found; `report.ts` turns it into tables and files. */
export interface RunOutcome {
  readonly experiment: Experiment;
  readonly rows: readonly Row[];
  /** Accuracy and FLOPs of the original network on the reported images. */
  readonly original: { readonly accuracy: number; readonly flops: number; readonly count: number };
  /** The table of the paper that the experiment reproduces, the original network last; else empty. */
  readonly published: readonly PublishedRow[];
  readonly splits: Splits;
  readonly flops: NetworkFlops;
  readonly exitCosts: ExitCosts;
  readonly gates: readonly (GatePlace & { readonly features: number; readonly objective: number })[];
  readonly source: NetworkSource;
  readonly engine: LazyEngine;
  /** What extracted the features of the test images, in this run or before. */
  readonly extractedOn: EngineDescription | undefined;
  /** Content ids of the images used. */
  readonly imageHashes: Readonly<Record<string, string>>;
  /** Seconds that each stage took in this run. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Seconds that extraction and training took when what this run used was computed, in this run or before. */
  readonly computedSeconds: { readonly extract: number; readonly train: number };
}

/** Numbers of images: what gates learn from, thresholds are chosen on, and results are reported on. */
export interface Splits {
  readonly train: number;
  readonly validation: string;
  readonly test: number;
}

/** Runs an experiment from images to rows, as the paper does. A damaged cache entry is removed and made again. */
export async function runExperiment(context: RunContext, experiment: Experiment): Promise<RunOutcome> {
  const removed = new Set<string>();
  for (;;) {
    try {
      return await runOnce(context, experiment);
    } catch (error) {
      // What is damaged again after it was made again is no accident.
      if (!(error instanceof RottenError) || removed.has(error.entry.directory)) throw error;
      removed.add(error.entry.directory);
      context.progress.warn(`${error.message}; removed, it is made again`);
      await error.entry.remove();
    }
  }
}

async function runOnce(context: RunContext, experiment: Experiment): Promise<RunOutcome> {
  const { places, flops, costs, network } = plan(experiment);
  const seconds: Record<string, number> = {};
  const timed = async <T>(stage: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    seconds[stage] = (seconds[stage] ?? 0) + (performance.now() - start) / 1000;
    return result;
  };
  const engine = new LazyEngine(experiment.engine);
  const source = await openNetwork(network, experiment.checkpoint, context.modelsRoot, context.progress);
  const images = await timed('data', () => openImages(context, experiment, source));

  // Features at each gate, for gates to learn from and to be judged on.
  const features = (split: ImageSource, label: string) =>
    timed('extract', () => extract(context, source, split, places, engine, label));
  const trainFeatures = await features(images.train, 'training');
  const heldOutFeatures = images.heldOut && (await features(images.heldOut, 'held-out'));
  const testFeatures = await features(images.test, 'test');

  // Each gate alone on all training images; then class and confidence of every other image at every gate.
  const gates = await timed('train', () => trainGates(context, experiment, trainFeatures, engine));
  const { confidence } = experiment.gates;
  const heldOut =
    heldOutFeatures &&
    (await timed('score', () => scoreImages(context, heldOutFeatures, gates, confidence, 'held-out')));
  const test = await timed('score', () => scoreImages(context, testFeatures, gates, confidence, 'test'));

  // Thresholds chosen on validation images, rows reported on the others.
  const rows = await timed('search', async () => {
    const parts = partsOf(experiment, test, heldOut, testFeatures.classes);
    return searchAndEvaluate(experiment, parts, costs);
  });
  const everyImage = Int32Array.from({ length: test.count }, (_, i) => i);
  return {
    experiment,
    rows,
    original: { accuracy: originalAccuracy(test, everyImage), flops: flops.flops, count: test.count },
    published: experiment.published === undefined ? [] : await readPublished(experiment.published),
    splits: describeSplits(experiment, images),
    flops,
    exitCosts: costs,
    gates: gates.map(({ objective }, i) => ({ ...places[i]!, features: trainFeatures.widths[i]!, objective })),
    source,
    engine,
    extractedOn: await testFeatures.extractedOn(),
    imageHashes: Object.fromEntries(Object.entries(images).map(([split, { sha256 }]) => [split, sha256])),
    seconds,
    computedSeconds: {
      extract: await secondsOf([trainFeatures, heldOutFeatures, testFeatures]),
      train: await secondsOf(gates),
    },
  };
}

/** Seconds that these cached results took when they were computed. */
async function secondsOf(results: readonly ({ readonly entry: Entry } | undefined)[]): Promise<number> {
  const manifests = await Promise.all(results.map((result) => result?.entry.manifest()));
  return manifests.reduce((sum, manifest) => sum + Number(manifest?.notes['seconds'] ?? 0), 0);
}

/** Checks an experiment against its network and counts what each exit costs; nothing is read or run. */
export function plan(experiment: Experiment) {
  const network = networkByName(experiment.network);
  const { after, pooling } = experiment.gates;
  const places = after.map((stage, index): GatePlace => {
    return { stage, pooling: Array.isArray(pooling) ? pooling[index]! : pooling };
  });
  checkPlaces(network, places);
  const flops = networkFlops(network);
  const gateFlops = gateFeatureCounts(network, places).map((count) => linearFlops(count, network.classifier.out));
  const cumulative = places.map(({ stage }) => flops.stages[stage - 1]!.cumulativeFlops);
  return { network, places, flops, costs: exitCosts(cumulative, gateFlops, flops.flops) };
}

function describeSplits(experiment: Experiment, images: Images): Splits {
  const { validation } = experiment.thresholds;
  return {
    train: images.train.count,
    validation:
      validation.kind === 'held-out'
        ? `${images.heldOut?.count} training images that the network has not learnt from, named by its checkpoint`
        : `cross-fit, ${validation.folds} folds of the test images: each fold is reported with thresholds chosen on ` +
          `the other${validation.folds > 2 ? 's' : ''} (seed ${experiment.seed})`,
    test: images.test.count,
  };
}
