import type { CommandModule } from 'yargs';
import type { PresetName } from '../experiment/definition.js';
import type { GlobalOptions } from './context.js';
import { definitionOptions, flag, text } from './options.js';

export interface CheckOptions extends GlobalOptions {
  readonly experiment?: string[];
  readonly preset: PresetName;
  readonly baseline?: string;
  readonly update: boolean;
  readonly junit?: string;
  readonly checkpoint?: string;
  readonly engine?: string;
  readonly set: string[];
  readonly json: boolean;
}

export const checkCommand: CommandModule<GlobalOptions, CheckOptions> = {
  command: 'check [experiment...]',
  describe: 'run small and compare with a baseline: what moved, from what, to what; exit status 1 where something did',
  builder: (yargs) =>
    yargs
      .positional('experiment', {
        type: 'string',
        array: true,
        describe: 'names (dgate list experiments) or files (./mine.ts); by default every one that has a baseline',
      })
      .option('baseline', {
        ...text('folder of baselines, a CSV for each experiment'),
        defaultDescription: 'results/baseline',
      })
      .option('update', flag('write the baseline anew, and show what changes'))
      .option('junit', text('also write a JUnit report, for CI servers'))
      .options(definitionOptions('smoke'))
      .example('$0 check', 'every experiment with a baseline')
      .example('$0 check ./mine.ts --checkpoint mine.safetensors --junit check.xml', 'your own, on a CI server')
      .example('$0 check ./mine.ts --update', 'what was found is right from now on') as never,
  handler: async (options) => (await import('./check-experiments.js')).checkExperiments(options),
};
