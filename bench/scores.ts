import { openContext } from '../src/cli/context.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import type { Experiment } from '../src/experiment/schema.js';
import { paperExperiments } from '../src/paper/index.js';
import { LazyEngine } from '../src/run/context.js';
import { extract, type Split } from '../src/run/extract.js';
import { openImages } from '../src/run/images.js';
import { openSource, plan } from '../src/run/plan.js';
import { scoreImages } from '../src/run/score.js';
import { trainGates } from '../src/run/train.js';
import type { ExitCosts, Scores } from '../src/thresholds/evaluate.js';

/** What thresholds are chosen and reported on in an experiment, from the cache where it is there. */
export interface ExperimentScores {
  readonly experiment: Experiment;
  readonly costs: ExitCosts;
  /** FLOPs of the original network. */
  readonly flops: number;
  readonly classes: number;
  readonly test: Scores;
  readonly heldOut: Scores | undefined;
}

/** Scores of an experiment (preset laptop), as `dgate run` makes them. */
export async function scoresOf(name: string, checkpoint?: string): Promise<ExperimentScores> {
  const context = await openContext({});
  const { exported, where } = await loadDefinition(name);
  const overrides = checkpoint === undefined ? [] : [{ path: 'checkpoint', value: checkpoint }];
  const experiment = resolveExperiment(exported, where, 'laptop', overrides, paperExperiments);
  const planned = await plan(experiment);
  const { places, costs, flops } = planned;
  const source = await openSource(context, experiment, planned);
  const images = await openImages(context, experiment, source);
  const engine = new LazyEngine(experiment.engine);
  const train = await extract(context, source, images.train!, places, engine, 'training');
  const gates = await trainGates(context, experiment, [train], engine);
  const score = async (split: typeof images.test, label: Split): Promise<Scores> => {
    const features = await extract(context, source, split, places, engine, label);
    return scoreImages(context, [features], gates, experiment.gates.confidence, label);
  };
  return {
    experiment,
    costs,
    flops: flops.flops,
    classes: train.classes,
    test: await score(images.test, 'test'),
    heldOut: images.heldOut && (await score(images.heldOut, 'held-out')),
  };
}
