import type { CommandModule } from 'yargs';
import { type PresetName, presetNames } from '../experiment/definition.js';
import type { GlobalOptions } from './context.js';

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
      .option('preset', { choices: presetNames, default: 'smoke' as PresetName, describe: 'size of the run' })
      .option('baseline', {
        type: 'string',
        requiresArg: true,
        describe: 'folder of baselines, a CSV for each experiment',
        defaultDescription: 'results/baseline',
      })
      .option('update', { type: 'boolean', default: false, describe: 'write the baseline anew, and show what changes' })
      .option('junit', { type: 'string', requiresArg: true, describe: 'also write a JUnit report, for CI servers' })
      .option('checkpoint', { type: 'string', requiresArg: true, describe: 'weights: a file, or a known id' })
      .option('engine', {
        type: 'string',
        requiresArg: true,
        describe: 'what executes the network (dgate list engines)',
      })
      .option('set', {
        type: 'string',
        array: true,
        nargs: 1,
        default: [] as string[],
        describe: 'override anything in the definition: path=value',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 check', 'every experiment with a baseline')
      .example('$0 check ./mine.ts --checkpoint mine.safetensors --junit check.xml', 'your own, on a CI server')
      .example('$0 check ./mine.ts --update', 'what was found is right from now on') as never,
  handler: async (options) => (await import('./check-experiments.js')).checkExperiments(options),
};
