import { stat } from 'node:fs/promises';
import { perSeed } from '../batch/grid.js';
import { knownCheckpoints } from '../checkpoints/known.js';
import { datasetNamed } from '../data/registry.js';
import { measureEngine } from '../engines/doctor/diagnose.js';
import { createEngine, engineNamed } from '../engines/registry.js';
import { InputError, ifThere } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import { networkByName } from '../networks/catalogue.js';
import type { RunContext } from '../run/context.js';
import { type PlannedStage, plannedStages } from '../run/dry-run.js';
import { membersOf, type Plan, plan } from '../run/plan.js';
import { duration } from './progress.js';

/**
 * The stages of a run, with the measured time of extractions that nothing in the cache resembles. A stage counts for its first
 * run only.
 *
 * @param seen keys of the stages of runs before this one
 * @param worthMeasuring FLOPs from which on the engine is measured
 */
export async function estimatedStages(
  context: RunContext,
  experiment: Experiment,
  seen: Set<string>,
  worthMeasuring = 0,
): Promise<PlannedStage[]> {
  const stages: PlannedStage[] = [];
  let pace: number | undefined;
  for (const stage of await plannedStages(context, experiment)) {
    const isShared = !stage.cached && seen.has(stage.key ?? '');
    if (stage.key !== null) seen.add(stage.key);
    if (isShared) stages.push({ ...stage, why: 'computed by a run above', seconds: 0, bytes: 0 });
    else if (stage.cached || stage.seconds !== null || stage.flops === null || stage.flops < worthMeasuring) {
      stages.push(stage);
    } else {
      pace ??= await flopsPerSecond(experiment);
      stages.push({ ...stage, seconds: pace === undefined ? null : stage.flops / pace });
    }
  }
  return stages;
}

/** Fewer FLOPs than this take too little time to report. */
const WORTH_SAYING = 1e12;

/**
 * Reports how long the extractions of these experiments will take on this machine if nothing is cached: their FLOPs
 * over the speed of each network on its engine, measured for a second with random weights. Users' ONNX networks and
 * other engines are left out.
 */
export async function sayTime(
  context: RunContext,
  experiments: readonly Experiment[],
  worthSaying = WORTH_SAYING,
): Promise<void> {
  if ((await context.store.list()).length > 0) return sayRest(context, experiments, worthSaying);
  // Experiments on the same network share their features: the largest of each.
  const largest = new Map<string, { readonly experiment: Experiment; readonly flops: number }>();
  for (const experiment of experiments.flatMap(membersOf)) {
    const { network, checkpoint, gates, engine } = experiment;
    if (engineNamed(engine).id !== 'ort-cpu' || !(await hasCheckpoint(experiment))) continue;
    const planned = await plan(experiment);
    if (planned.user !== undefined || planned.given !== undefined) continue;
    const flops = extractionFlops(context, experiment, planned);
    const same = JSON.stringify([network, checkpoint, gates.after, gates.pooling, engine]);
    if ((largest.get(same)?.flops ?? 0) < flops) largest.set(same, { experiment, flops });
  }
  const known = [...largest.values()];
  if (known.reduce((sum, { flops }) => sum + flops, 0) < worthSaying) return;
  let seconds = 0;
  const parts: string[] = [];
  for (const { experiment, flops } of known) {
    const pace = (await flopsPerSecond(experiment))!;
    seconds += flops / pace;
    const work = `${(flops / 1e12).toFixed(1)} TFLOPs at ${Math.round(pace / 1e9)} GFLOPs/s`;
    parts.push(`${experiment.name} ${duration(flops / pace)} (${work})`);
  }
  context.progress.note(
    `nothing is in the cache: features take about ${duration(seconds)} on this processor: ${parts.join(', ')}; downloads and gates come on top`,
  );
}

/** FLOPs of all extractions of an experiment, cached or not; Infinity of networks whose images are not counted yet. */
async function flopsOf(context: RunContext, experiment: Experiment): Promise<number> {
  let flops = 0;
  for (const member of membersOf(experiment)) {
    const planned = await plan(member);
    if (planned.user !== undefined || planned.given !== undefined) return Number.POSITIVE_INFINITY;
    flops += extractionFlops(context, member, planned);
  }
  return flops;
}

/** One line where what is not cached takes a minute or more. What is wrong with an experiment its run says. */
async function sayRest(context: RunContext, experiments: readonly Experiment[], worthSaying: number): Promise<void> {
  const seen = new Set<string>();
  const open: PlannedStage[] = [];
  for (const experiment of experiments.flatMap((each) => perSeed(each))) {
    try {
      if ((await flopsOf(context, experiment)) < worthSaying) continue;
      const stages = await estimatedStages(context, experiment, seen, worthSaying);
      open.push(...stages.filter(({ cached }) => !cached));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }
  const sum = (of: (stage: PlannedStage) => number | null): number =>
    open.reduce((all, stage) => all + (of(stage) ?? 0), 0);
  const seconds = sum((stage) => stage.seconds);
  if (seconds < 60) return;
  const longest = open.reduce((a, b) => ((b.seconds ?? 0) > (a.seconds ?? 0) ? b : a));
  context.progress.note(
    `not in the cache: ${open.length} stages, about ${duration(seconds)} and ${Math.ceil(sum(({ bytes }) => bytes) / 1e6)} MB; ` +
      `the longest is ${longest.stage} (${duration(longest.seconds ?? 0)}); --dry-run lists all, and why`,
  );
}

/** FLOPs in a second on this machine; of a user's ONNX file not measured, of a cascade its last network's. */
async function flopsPerSecond(experiment: Experiment): Promise<number | undefined> {
  const { network, engine } = membersOf(experiment).at(-1)!;
  if (typeof network !== 'string') return undefined;
  return 1e9 * (await measureEngine(await createEngine(engine), networkByName(network))).gflopsPerSecond;
}

/** Without a checkpoint, the run reports so at once. */
async function hasCheckpoint({ checkpoint }: Experiment): Promise<boolean> {
  if (checkpoint === undefined || knownCheckpoints.some(({ id }) => id === checkpoint)) return true;
  return (await ifThere(checkpoint, stat(checkpoint)))?.isFile() === true;
}

/** FLOPs of all features of an experiment; held-out images are counted as training images. */
function extractionFlops({ datasets }: RunContext, experiment: Experiment, { network, flops }: Plan): number {
  const { splits } = datasetNamed(networkByName(network.name).dataset, datasets);
  const { trainImages = splits.train, testImages = splits.test } = experiment;
  // Of a network in a cascade no training images are run.
  const last = flops.stages[(experiment.gates.after.at(-1) ?? 0) - 1];
  return trainImages * (last?.cumulativeFlops ?? 0) + testImages * flops.flops;
}
