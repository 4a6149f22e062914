import type { EngineDescription } from '../engines/engine.js';
import { networkLabel } from '../experiment/own-network.js';
import type { Experiment } from '../experiment/schema.js';
import type { NetworkFlops } from '../networks/flops.js';
import type { GatePlace } from '../networks/pooling.js';
import { printedClaims } from '../paper/claims.js';
import { analyse } from '../paper/index.js';
import { type PublishedRow, readPublished } from '../paper/published.js';
import type { Claim, Findings } from '../report/findings.js';
import { tableClaims } from '../report/table-claims.js';
import { type Entry, RottenError } from '../store/store.js';
import type { ExitCosts } from '../thresholds/evaluate.js';
import type { TimingRecord } from '../timing/record.js';
import type { LazyEngine, RunContext } from './context.js';
import type { Images } from './images.js';
import { searchTables, type TableBasis, tableRows } from './rows.js';
import { originalAccuracy, partsOf, type Row, searchAndEvaluate } from './search.js';
import type { NetworkSource } from './source.js';
import { openStages, type SplitFeatures } from './stages.js';

export { plan } from './stages.js';

/** What a run found; `report.ts` turns it into tables and files. */
export interface RunOutcome {
  readonly experiment: Experiment;
  /** Searched rows, then fixed ones; empty where the experiment has an analysis only. */
  readonly rows: readonly Row[];
  /** Tables, figures and sheets of its analysis, and what became of the paper's claims. */
  readonly findings: Findings;
  /** Accuracy and FLOPs of the original network on the reported images. */
  readonly original: { readonly accuracy: number; readonly flops: number; readonly count: number };
  /** The table of the paper that the experiment reproduces, the original network last; else empty. */
  readonly published: readonly PublishedRow[];
  readonly splits: Splits;
  /** Images that could not be decoded, by split: the file and what is wrong with it; of splits that have such only. */
  readonly leftOut: Readonly<Record<string, readonly string[]>>;
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
  /** The timed evaluation that the speeds of the table come from. */
  readonly timing?: TimingRecord;
}

/** Numbers of images: what gates learn from, thresholds are chosen on, and results are reported on. */
export interface Splits {
  readonly train: number;
  readonly validation: string;
  readonly test: number;
}

/** Runs an experiment from images to rows, as the paper does. A damaged cache entry is removed and made again. */
export function runExperiment(context: RunContext, experiment: Experiment): Promise<RunOutcome> {
  return withMending(context, () => runOnce(context, experiment));
}

/** Does some work again where it met a damaged cache entry, which is said and removed. */
export async function withMending<T>(context: RunContext, work: () => Promise<T>): Promise<T> {
  const mended = new Set<string>();
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // What is damaged again after it was made again is no accident.
      if (!(error instanceof RottenError) || mended.has(error.subject)) throw error;
      mended.add(error.subject);
      context.progress.warn(`${error.message}; removed, it is made again`);
      await error.mend();
    }
  }
}

async function runOnce(context: RunContext, experiment: Experiment): Promise<RunOutcome> {
  // The trained network, frozen; images that no two splits share; their features at each gate.
  const stages = await openStages(context, experiment);
  const { plan, images, features, source, engine } = stages;

  // Each gate alone on all training images; then class and confidence of every other image at every gate.
  const gates = await stages.train();
  const scores = await stages.score(gates, experiment.gates.confidence);

  // Thresholds chosen on validation images, rows reported on the others.
  const rows = await stages.timed('search', () => {
    const parts = partsOf(experiment, scores.test, scores.heldOut, features.test.classes);
    return searchAndEvaluate(experiment, parts, plan.costs);
  });
  const everyImage = Int32Array.from({ length: scores.test.count }, (_, i) => i);
  const found = {
    ...stages,
    gates: gates.map(({ objective }, i) => ({ ...plan.places[i]!, features: features.train.widths[i]!, objective })),
    scores,
    rows,
    original: {
      accuracy: originalAccuracy(scores.test, everyImage),
      flops: plan.flops.flops,
      count: scores.test.count,
    },
    published: experiment.published === undefined ? [] : await readPublished(experiment.published),
  };

  // The figures that the scores are studied for, and what becomes of the paper's claims.
  const findings = await analyse(found);
  const tables = [...searchTables(found), ...findings.tables];
  return {
    experiment,
    rows,
    findings: {
      ...findings,
      tables,
      claims: [...(await claimsOfTable({ ...found, exitCosts: plan.costs })), ...findings.claims],
    },
    original: found.original,
    published: found.published,
    splits: describeSplits(experiment, images),
    leftOut: await leftOutOf(features),
    flops: plan.flops,
    exitCosts: plan.costs,
    gates: found.gates,
    source,
    engine,
    extractedOn: await features.test.extractedOn(),
    imageHashes: Object.fromEntries(Object.entries(images).map(([split, { sha256 }]) => [split, sha256])),
    seconds: stages.seconds,
    computedSeconds: {
      extract: await secondsOf([features.train, features.heldOut, features.test]),
      train: await secondsOf(gates),
    },
  };
}

/** What becomes of the claims of the table that an experiment reproduces. */
async function claimsOfTable(basis: TableBasis): Promise<Claim[]> {
  const { experiment, published } = basis;
  if (published.length === 0) return [];
  const name = experiment.published!;
  const texts = (await printedClaims()).filter(({ id }) => id.startsWith(`${name}-`));
  return tableClaims({ name, rows: tableRows(basis), network: networkLabel(experiment.network), texts });
}

/** Images that could not be decoded, by split. */
async function leftOutOf({ train, heldOut, test }: SplitFeatures): Promise<Record<string, readonly string[]>> {
  const sets = { training: train, 'held-out': heldOut, test };
  const found = await Promise.all(
    Object.entries(sets).map(async ([split, set]) => [split, (await set?.unreadable()) ?? []] as const),
  );
  return Object.fromEntries(found.filter(([, files]) => files.length > 0));
}

/** Seconds that these cached results took when they were computed. */
async function secondsOf(results: readonly ({ readonly entry: Entry } | undefined)[]): Promise<number> {
  const manifests = await Promise.all(results.map((result) => result?.entry.manifest()));
  return manifests.reduce((sum, manifest) => sum + Number(manifest?.notes['seconds'] ?? 0), 0);
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
