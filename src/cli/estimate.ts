import { stat } from 'node:fs/promises';
import { knownCheckpoints } from '../checkpoints/registry.js';
import { datasetNamed } from '../data/registry.js';
import { measureEngine } from '../engines/doctor/measure.js';
import { createEngine, engineNamed } from '../engines/registry.js';
import type { Experiment } from '../experiment/schema.js';
import { networkByName } from '../networks/catalogue.js';
import type { RunContext } from '../run/context.js';
import { membersOf, type Plan, plan } from '../run/plan.js';
import { ifThere } from '../system-error.js';
import { duration } from './progress.js';

/** Fewer FLOPs than this take too little time to report. */
const WORTH_SAYING = 1e12;

/**
 * Says how long the extractions of these experiments will take here, where nothing is in the cache: their FLOPs, and the
 * pace of each network on its engine, measured for a second with random weights. Users' ONNX networks and other engines are
 * left out.
 */
export async function sayTime(context: RunContext, experiments: readonly Experiment[]): Promise<void> {
  if ((await context.store.list()).length > 0) return;
  const known: { readonly experiment: Experiment; readonly flops: number }[] = [];
  for (const experiment of experiments.flatMap(membersOf)) {
    if (engineNamed(experiment.engine).id !== 'ort-cpu' || !(await hasCheckpoint(experiment))) continue;
    const planned = await plan(experiment);
    if (planned.user === undefined) known.push({ experiment, flops: extractionFlops(context, experiment, planned) });
  }
  if (known.reduce((sum, { flops }) => sum + flops, 0) < WORTH_SAYING) return;
  // Experiments on the same network share their features.
  const largest = new Map<string, (typeof known)[number]>();
  for (const one of known) {
    const { network, checkpoint, gates, engine } = one.experiment;
    const same = JSON.stringify([network, checkpoint, gates.after, gates.pooling, engine]);
    if ((largest.get(same)?.flops ?? 0) < one.flops) largest.set(same, one);
  }
  let seconds = 0;
  const parts: string[] = [];
  for (const { experiment, flops } of largest.values()) {
    const { gflopsPerSecond } = await measureEngine(
      await createEngine(experiment.engine),
      networkByName(experiment.network as string),
    );
    const takes = flops / (1e9 * gflopsPerSecond);
    seconds += takes;
    parts.push(
      `${experiment.name} ${duration(takes)} (${(flops / 1e12).toFixed(1)} TFLOPs at ${Math.round(gflopsPerSecond)} GFLOPs/s)`,
    );
  }
  context.progress.note(
    `nothing is in the cache: features take about ${duration(seconds)} on this processor: ${parts.join(', ')}; downloads and gates come on top`,
  );
}

/** Where there is none, the run says so at once. */
async function hasCheckpoint({ checkpoint }: Experiment): Promise<boolean> {
  if (checkpoint === undefined || knownCheckpoints.some(({ id }) => id === checkpoint)) return true;
  return (await ifThere(checkpoint, stat(checkpoint)))?.isFile() === true;
}

/** FLOPs of all features of an experiment; images held out are counted as training images. */
function extractionFlops({ datasets }: RunContext, experiment: Experiment, { network, flops }: Plan): number {
  const { splits } = datasetNamed(networkByName(network.name).dataset, datasets);
  const { trainImages = splits.train, testImages = splits.test } = experiment;
  // Of a network in a cascade no training images are run.
  const last = flops.stages[(experiment.gates.after.at(-1) ?? 0) - 1];
  return trainImages * (last?.cumulativeFlops ?? 0) + testImages * flops.flops;
}
