import { labelOf, type PlannedCombination, perSeed } from '../batch/grid.js';
import { measureEngine } from '../engines/doctor/diagnose.js';
import { createEngine, engineNamed } from '../engines/registry.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import { networkByName } from '../networks/catalogue.js';
import { renderColumns } from '../report/findings.js';
import type { RunContext } from '../run/context.js';
import { extractionFlops, type PlannedStage, plannedStages } from '../run/dry-run.js';
import { membersOf } from '../run/plan.js';
import { namedCheckpoint } from '../run/source.js';
import type { AnalysisContext } from '../run/stages.js';
import { duration } from './context.js';
import { printEither } from './output.js';

/** The stages of a run or of one seed. */
interface PlannedRun {
  readonly experiment: string;
  /** The settings and the seed in which it differs from other runs. */
  readonly settings: string;
  readonly stages: readonly PlannedStage[];
}

/**
 * `dgate run --dry-run`: each stage of each run, cached or not and why, with an estimate of time and disk space. Time comes
 * from the most similar cached result, otherwise from FLOPs and a second's measurement of the engine.
 */
export async function dryRun(
  context: AnalysisContext,
  combinations: readonly PlannedCombination[],
  json: boolean,
): Promise<void> {
  const runs: PlannedRun[] = [];
  const seen = new Set<string>();
  for (const { experiment, settings } of combinations) {
    const seeds = perSeed(experiment);
    for (const one of seeds) {
      const named = { ...settings, ...(seeds.length > 1 && { seed: `${one.seed}` }) };
      const stages = await estimatedStages(context, one, seen);
      runs.push({ experiment: one.name, settings: labelOf(named), stages });
    }
  }
  printEither(json, runs, () => runs.map(render).join('\n'));
}

function render({ experiment, settings, stages }: PlannedRun): string {
  const open = stages.filter(({ cached }) => !cached);
  const unknown = open.filter(({ stage, seconds }) => seconds === null && !stage.startsWith('scores'));
  const rows = stages.map(({ stage, cached, why, seconds, bytes }) => [
    stage,
    cached ? 'cached' : why,
    cached || seconds === null ? '' : duration(seconds),
    cached || bytes === null ? '' : `${Math.ceil(bytes / 1e6)} MB`,
  ]);
  const unknowns = unknown.length > 4 ? `${unknown.length} other stages` : unknown.map(({ stage }) => stage).join(', ');
  const rest = unknown.length > 0 ? `, and an unknown time for ${unknowns}` : '';
  const total = open.length === 0 ? 'everything is cached' : `about ${costOf(open).text}${rest}`;
  const title = [experiment, ...(settings === '' ? [] : [settings])].join(': ');
  return `${title}\n${renderColumns(['Stage', 'Cached, or why not', 'Time', 'Disk'], rows, 'text')}\n${total}`;
}

/** Known time and disk space (if any) of some stages: `1 min 0 s and 5 MB`. */
function costOf(stages: readonly PlannedStage[]) {
  const sum = (of: 'seconds' | 'bytes'): number => stages.reduce((all, stage) => all + (stage[of] ?? 0), 0);
  const [seconds, bytes] = [sum('seconds'), sum('bytes')];
  return { seconds, text: duration(seconds) + (bytes > 0 ? ` and ${Math.ceil(bytes / 1e6)} MB` : '') };
}

/**
 * The stages of a run, a shared one in its first run only (`seen`: keys of earlier stages). The time of extractions from
 * `worthMeasuring` FLOPs that resemble no cached result comes from a measurement of the engine.
 */
async function estimatedStages(
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

/** Work of fewer FLOPs is not reported. */
const WORTH_SAYING = 1e12;

/**
 * Reports how long the extractions of these experiments will take. With an empty cache, that follows from their FLOPs and a
 * second's measurement of each network with random weights on this processor. Users' ONNX networks and other engines are
 * left out.
 */
export async function sayTime(
  context: RunContext,
  experiments: readonly Experiment[],
  worthSaying = WORTH_SAYING,
): Promise<void> {
  if ((await context.store.list()).length > 0) return sayRest(context, experiments, worthSaying);
  // Experiments on the same network share their features: the largest of each counts.
  const largest = new Map<string, { readonly experiment: Experiment; readonly flops: number }>();
  for (const experiment of experiments.flatMap(membersOf)) {
    const { network, checkpoint, gates, engine } = experiment;
    if (engineNamed(engine).id !== 'ort-cpu' || typeof network !== 'string') continue;
    const isThere = await namedCheckpoint(networkByName(network), checkpoint).catch(() => false); // else the run says so
    if (isThere === false) continue;
    const flops = (await extractionFlops(context, experiment))!;
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
    `nothing is in the cache: features take about ${duration(seconds)} on this processor: ${parts.join(', ')}; ` +
      'downloads and gates take further time',
  );
}

/** One line if the stages that are not cached take at least a minute. Runs report the problems of their experiments. */
async function sayRest(context: RunContext, experiments: readonly Experiment[], worthSaying: number): Promise<void> {
  const seen = new Set<string>();
  const open: PlannedStage[] = [];
  for (const experiment of experiments.flatMap((each) => perSeed(each))) {
    try {
      if (((await extractionFlops(context, experiment)) ?? Number.POSITIVE_INFINITY) < worthSaying) continue;
      const stages = await estimatedStages(context, experiment, seen, worthSaying);
      open.push(...stages.filter(({ cached }) => !cached));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
  }
  const { seconds, text } = costOf(open);
  if (seconds < 60) return;
  const longest = open.reduce((a, b) => ((b.seconds ?? 0) > (a.seconds ?? 0) ? b : a));
  context.progress.note(
    `not in the cache: ${open.length} stages, about ${text}; ` +
      `the longest is ${longest.stage} (${duration(longest.seconds ?? 0)}); --dry-run lists all, and why`,
  );
}

/** Speed on this machine; of a cascade, its last network's; undefined for a user's ONNX file. */
async function flopsPerSecond(experiment: Experiment): Promise<number | undefined> {
  const { network, engine } = membersOf(experiment).at(-1)!;
  if (typeof network !== 'string') return undefined;
  return 1e9 * (await measureEngine(await createEngine(engine), networkByName(network))).gflopsPerSecond;
}
