import type { CommandModule } from 'yargs';
import { type RuleName, ruleNames } from '../timing/rules.js';
import { flag, number, runOptions, text } from './options.js';
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
      .option('batch', { ...text('batch sizes, comma between'), default: '1,32' })
      .option('images', {
        ...number('test images a row, the first ones, each once'),
        defaultDescription: 'about 15 s a row',
      })
      .option('rules', {
        choices: ruleNames,
        default: 'default' as RuleName,
        describe: "mlperf: MLPerf's single-stream and offline runs, at least 10 minutes of each network a row",
      })
      .option('verify', flag('first run all test images and compare class and exit with the cached evaluation'))
      .options({
        ...runOptions,
        engine: text('what executes the networks (dgate list engines)'),
        seeds: text('several seeds, one after the other: 0..4, or 0,2,5'),
      })
      .example('$0 time table1', 'latency (batch 1) and throughput (batch 32) of every row')
      .example('$0 time table1 --engine tfjs-node --batch 1,32,256', 'on a GPU')
      .example('$0 time table1 --rules mlperf --batch 1', "MLPerf's single-stream rules") as never,
  handler: async (options) => (await import('./time-commands.js')).timeExperiments(options),
};
