import type { ImageSource } from '../data/dataset.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import { LazyEngine, type RunContext } from '../run/context.js';
import { extract, extractionOf, type Split } from '../run/extract.js';
import { openMembers } from '../run/images.js';
import { openSource, plan } from '../run/plan.js';
import { withRepair } from '../run/run.js';
import { type Extraction, extractShards, missingShards, type Share } from '../run/shards.js';
import { type NetworkSource, networksOf } from '../run/source.js';
import { mapSplits } from '../run/splits.js';
import { openStages, trainingSets } from '../run/stages.js';
import { untrainedGates } from '../run/train.js';

// The stages of a run as separate tasks that share only the cache: on a cluster, or in several terminals.

/** The extractions of an experiment, one for each split, as in a run. */
interface Opened {
  readonly source: NetworkSource;
  readonly engine: LazyEngine;
  /** Of every network of a cascade. */
  readonly splits: readonly {
    readonly source: NetworkSource;
    readonly label: Split;
    readonly images: ImageSource;
    readonly extraction: Extraction;
  }[];
}

async function open(context: RunContext, experiment: Experiment): Promise<Opened> {
  const planned = await plan(experiment);
  const engine = new LazyEngine(experiment.engine);
  const source = await openSource(context, experiment, planned);
  const splits: Opened['splits'][number][] = [];
  for (const { source: each, plan: own, images: of } of await openMembers(context, experiment, planned, source)) {
    await mapSplits(of, (images, label) => {
      const extraction = extractionOf(context, each, images, own.places, engine, label);
      splits.push({ source: each, label, images, extraction });
    });
  }
  return { source, engine, splits };
}

/** Fetches missing data and checkpoints, and checks them. */
export async function prepare(context: RunContext, experiment: Experiment): Promise<void> {
  const { source } = await open(context, experiment);
  for (const each of networksOf(source)) await each.lowered();
}

/** Extracts a share of an experiment's images; the task that finds all shards finishes the features. */
export async function extractPart(context: RunContext, experiment: Experiment, { index, of }: Share): Promise<void> {
  await withRepair(context, async () => {
    const { engine, splits } = await open(context, experiment);
    for (const [i, { extraction }] of splits.entries()) {
      // Each split's slices begin at another task; otherwise the last task would get all remainders.
      if (!(await extraction.entry.isComplete())) {
        await extractShards(context, extraction, { index: (index + i) % of, of });
      }
    }
    for (const { source, label, images, extraction } of splits) {
      if ((await missingShards(extraction)).length > 0) continue;
      await extract(context, source, images, extraction.places, engine, label);
    }
  });
}

/** Trains one gate (from 0) on cached features. @throws InputError if they are not cached */
export async function trainOne(context: RunContext, experiment: Experiment, gate: number): Promise<void> {
  await assertExtracted(context, experiment);
  await withRepair(context, async () => (await openStages(context, experiment)).train(experiment, [gate]));
}

/** @throws InputError with the shards that are missing: other tasks make them */
async function assertExtracted(context: RunContext, experiment: Experiment): Promise<void> {
  const { splits } = await open(context, experiment);
  const problems: string[] = [];
  for (const { extraction } of splits) {
    const missing = await missingShards(extraction);
    if (missing.length > 0) problems.push(`${extraction.name}: ${missing.join(', ')} missing`);
  }
  if (problems.length > 0) throw new InputError(problems);
}

/** @throws InputError with the gates that are missing: other tasks make them */
export async function assertTrained(context: RunContext, experiment: Experiment): Promise<void> {
  await assertExtracted(context, experiment);
  const missing = await withRepair(context, async () => {
    const { sets } = await openStages(context, experiment);
    return untrainedGates(context, experiment, trainingSets(sets));
  });
  if (missing.length > 0) {
    throw new InputError(`gate${missing.length > 1 ? 's' : ''} ${missing.map((gate) => gate + 1).join(', ')}: missing`);
  }
}
