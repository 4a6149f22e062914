import { openContext } from '../src/cli/context.js';
import { loadDefinition } from '../src/experiment/load.js';
import { resolveExperiment } from '../src/experiment/resolve.js';
import type { Experiment } from '../src/experiment/schema.js';
import { paperExperiments } from '../src/paper/index.js';
import { openStages } from '../src/run/stages.js';
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

/** Scores of an experiment (preset laptop), as `dgate run` makes them. @param trainImages fewer to train gates on: sooner there */
export async function scoresOf(name: string, checkpoint?: string, trainImages?: number): Promise<ExperimentScores> {
  const context = await openContext({});
  const { exported, where } = await loadDefinition(name);
  const overrides = Object.entries({ checkpoint, trainImages }).flatMap(([path, value]) =>
    value === undefined ? [] : [{ path, value }],
  );
  const experiment = resolveExperiment(exported, where, 'laptop', overrides, paperExperiments);
  const stages = await openStages(context, experiment);
  const { plan, features } = stages;
  const { test, heldOut } = await stages.score(await stages.train(), experiment.gates.confidence);
  return { experiment, costs: plan.costs, flops: plan.flops.flops, classes: features.test.classes, test, heldOut };
}
