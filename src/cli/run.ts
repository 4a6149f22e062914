import type { CommandModule } from 'yargs';
import { InputError } from '../errors.js';
import type { PresetName } from '../experiment/definition.js';
import type { GlobalOptions } from './context.js';
import { list, runOptions, text } from './options.js';

interface RunOptions extends GlobalOptions {
  readonly experiment: string[];
  readonly preset: PresetName;
  readonly checkpoint?: string;
  readonly engine?: string;
  readonly seed?: number;
  readonly seeds?: string;
  readonly trainImages?: number;
  readonly testImages?: number;
  readonly set: string[];
  readonly json: boolean;
}

export const runCommand: CommandModule<GlobalOptions, RunOptions> = {
  command: 'run <experiment...>',
  describe: 'run experiments from images to tables; what is in the cache is not computed again',
  builder: (yargs) =>
    yargs
      .positional('experiment', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'names (dgate list experiments), files (./mine.ts), or all',
      })
      .options({
        ...runOptions,
        seeds: text('several seeds and a table of their means: 0..4, or 0,2,5'),
        set: list('override anything in the definition: path=value; path=value,value runs every combination'),
      })
      .example('$0 run resnet56', 'fetch data and weights, extract, train, search, report')
      .example('$0 run resnet56 --checkpoint resnet56.th', 'with weights from a file')
      .example('$0 run resnet56 --set gates.loss=cross-entropy', 'another loss; features come from the cache')
      .example(
        '$0 run table1 --set gates.loss=hinge,cross-entropy --seeds 0..4',
        'a grid: each combination once, one table',
      )
      .example('$0 run ./mine.ts --preset smoke --json', 'a definition of your own') as never,
  handler: async (options) => {
    const { isGrid } = await import('./grid-settings.js');
    const overrides = optionOverrides(options);
    if (isGrid(options.set)) await (await import('./run-grid.js')).runGrids(options, overrides);
    else await (await import('./run-experiments.js')).runExperiments(options, overrides);
  },
};

/** Options that stand for a part of the definition, after `--set`. */
export function optionOverrides(options: RunOptions): { path: string; value: unknown }[] {
  const { checkpoint, engine, seed, trainImages, testImages } = options;
  if (seed !== undefined && options.seeds !== undefined) throw new InputError('--seed and --seeds: give one of them');
  const seeds = options.seeds === undefined ? undefined : seedsFrom(options.seeds);
  return Object.entries({ checkpoint, engine, seed, seeds, trainImages, testImages })
    .filter(([, value]) => value !== undefined)
    .map(([path, value]) => ({ path, value }));
}

/** `0..4` or `0,2,5` as a list. @throws InputError */
export function seedsFrom(text: string): number[] {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const count = Number(to) - Number(from) + 1;
  if (from !== undefined && count >= 1 && count <= 1000) {
    return Array.from({ length: count }, (_, i) => Number(from) + i);
  }
  if (/^\d+(,\d+)*$/.test(text)) return [...new Set(text.split(',').map(Number))];
  throw new InputError(`--seeds ${text}; valid: a range such as 0..4 (at most 1,000), or a list such as 0,2,5`);
}

export type { RunOptions };
