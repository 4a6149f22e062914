import type { CommandModule } from 'yargs';
import { type PresetName, presetNames } from '../experiment/definition.js';
import { type RuleName, ruleNames } from '../timing/rules.js';
import type { RunOptions } from './run.js';

export interface TimeOptions extends RunOptions {
  readonly batch: string;
  readonly images?: number;
  readonly rules: RuleName;
  readonly verify: boolean;
}

export const timeCommand: CommandModule<object, TimeOptions> = {
  command: 'time <experiment...>',
  describe: 'time the gated networks of a table against the original, pair by pair',
  builder: (yargs) =>
    yargs
      .positional('experiment', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'names (dgate list experiments), files (./mine.ts), or all',
      })
      .option('preset', { choices: presetNames, default: 'laptop' as PresetName, describe: 'size of the run' })
      .option('batch', { type: 'string', requiresArg: true, default: '1,32', describe: 'batch sizes, comma between' })
      .option('images', {
        type: 'number',
        requiresArg: true,
        describe: 'test images a row, the first ones, each once',
        defaultDescription: 'about 15 s a row',
      })
      .option('rules', {
        choices: ruleNames,
        default: 'default' as RuleName,
        describe: "mlperf: MLPerf's single-stream and offline runs, at least 10 minutes of each network a row",
      })
      .option('verify', {
        type: 'boolean',
        default: false,
        describe: 'first run all test images and compare class and exit with the cached evaluation',
      })
      .option('checkpoint', { type: 'string', requiresArg: true, describe: 'weights: a file, or a known id' })
      .option('engine', {
        type: 'string',
        requiresArg: true,
        describe: 'what executes the networks (dgate list engines)',
      })
      .option('seeds', {
        type: 'string',
        requiresArg: true,
        describe: 'several seeds, one after the other: 0..4, or 0,2,5',
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
      .example('$0 time table1', 'latency (batch 1) and throughput (batch 32) of every row')
      .example('$0 time table1 --engine tfjs-node --batch 1,32,256', 'on a GPU')
      .example('$0 time table1 --rules mlperf --batch 1', "MLPerf's single-stream rules") as never,
  handler: async (options) => (await import('./time-commands.js')).timeExperiments(options),
};
