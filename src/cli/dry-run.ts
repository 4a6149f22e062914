import { labelOf, perSeed } from '../batch/grid.js';

import type { Override } from '../experiment/resolve.js';
import { renderColumns } from '../report/findings.js';
import type { PlannedStage } from '../run/dry-run.js';
import { openContext } from './context.js';
import { estimatedStages } from './estimates.js';
import type { RunOptions } from './options.js';
import { print, printJson } from './output.js';
import { duration } from './progress.js';
import { planGrids } from './run-grid.js';

interface PlannedRun {
  readonly experiment: string;
  /** What tells a run of a grid or of several seeds from the others. */
  readonly settings: string;
  readonly stages: readonly PlannedStage[];
}

/**
 * `dgate run --dry-run`: each stage of each run, cached or not and why, with an estimate of time and disk space. Time comes
 * from the most similar result in the cache, otherwise from FLOPs and a second's measurement of the engine.
 */
export async function dryRun(options: RunOptions, overrides: readonly Override[]): Promise<void> {
  const context = await openContext(options);
  const runs: PlannedRun[] = [];
  const seen = new Set<string>();
  for (const { cells } of await planGrids(options, overrides)) {
    for (const { experiment, settings } of cells) {
      const seeds = perSeed(experiment);
      for (const one of seeds) {
        const named = { ...settings, ...(seeds.length > 1 && { seed: `${one.seed}` }) };
        const stages = await estimatedStages(context, one, seen);
        runs.push({ experiment: one.name, settings: labelOf(named), stages });
      }
    }
  }
  if (options.json) printJson(runs);
  else print(() => runs.map(render).join('\n'));
}

function render({ experiment, settings, stages }: PlannedRun): string {
  const open = stages.filter(({ cached }) => !cached);
  const sum = (of: (stage: PlannedStage) => number | null): number =>
    open.reduce((all, stage) => all + (of(stage) ?? 0), 0);
  const unknown = open
    .filter(({ stage, seconds }) => seconds === null && !stage.startsWith('scores'))
    .map(({ stage }) => stage);
  const rows = stages.map(({ stage, cached, why, seconds, bytes }) => [
    stage,
    cached ? 'cached' : why,
    cached || seconds === null ? '' : duration(seconds),
    cached || bytes === null ? '' : `${Math.ceil(bytes / 1e6)} MB`,
  ]);
  const total =
    open.length === 0
      ? 'everything is cached'
      : `about ${duration(sum(({ seconds }) => seconds))} and ${Math.ceil(sum(({ bytes }) => bytes) / 1e6)} MB${
          unknown.length > 0 ? `, and what nothing here tells: ${unknown.join(', ')}` : ''
        }`;
  const title = [experiment, ...(settings === '' ? [] : [settings])].join(': ');
  return `${title}\n${renderColumns(['Stage', 'Cached, or why not', 'Time', 'Disk'], rows, 'text')}\n${total}`;
}
