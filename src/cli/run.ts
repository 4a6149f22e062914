import type { CommandModule } from 'yargs';
import { type PresetName, presetNames } from '../experiment/definition.js';
import type { GlobalOptions } from './context.js';

interface RunOptions extends GlobalOptions {
  readonly experiment: string[];
  readonly preset: PresetName;
  readonly checkpoint?: string;
  readonly engine?: string;
  readonly seed?: number;
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
      .option('preset', { choices: presetNames, default: 'laptop' as PresetName, describe: 'size of the run' })
      .option('checkpoint', { type: 'string', requiresArg: true, describe: 'weights: a file, or a known id' })
      .option('engine', {
        type: 'string',
        requiresArg: true,
        describe: 'what executes the network (dgate list engines)',
      })
      .option('seed', { type: 'number', requiresArg: true, describe: 'seed of image choice, folds and training' })
      .option('train-images', { type: 'number', requiresArg: true, describe: 'training images for the gates' })
      .option('test-images', { type: 'number', requiresArg: true, describe: 'test images' })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        describe: 'override anything in the definition: path=value',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 run resnet56', 'fetch data and weights, extract, train, search, report')
      .example('$0 run resnet56 --checkpoint resnet56.th', 'with weights from a file')
      .example('$0 run resnet56 --set gates.loss=cross-entropy', 'another loss; features come from the cache')
      .example('$0 run ./mine.ts --preset smoke --json', 'a definition of your own') as never,
  handler: async (options) => {
    const { runExperiments } = await import('./run-experiments.js');
    await runExperiments(options, optionOverrides(options));
  },
};

/** Options that stand for a part of the definition, after `--set`. */
function optionOverrides(options: RunOptions): { path: string; value: unknown }[] {
  const { checkpoint, engine, seed, trainImages, testImages } = options;
  return Object.entries({ checkpoint, engine, seed, trainImages, testImages })
    .filter(([, value]) => value !== undefined)
    .map(([path, value]) => ({ path, value }));
}

export type { RunOptions };
