import type { CommandModule } from 'yargs';
import { type ComparisonFormat, comparisonFormats } from '../report/comparison-formats.js';
import type { GlobalOptions } from './context.js';

export interface CompareOptions extends GlobalOptions {
  readonly a: string;
  readonly b: string;
  readonly format: ComparisonFormat;
  readonly json: boolean;
}

export const compareCommand: CommandModule<GlobalOptions, CompareOptions> = {
  command: 'compare <a> <b>',
  describe: 'two runs, only what differs: definition and results, with intervals where there are seeds',
  builder: (yargs) =>
    yargs
      .positional('a', { type: 'string', demandOption: true, describe: 'folder of a run, or its name below --results' })
      .positional('b', { type: 'string', demandOption: true, describe: 'the other' })
      .option('format', {
        choices: comparisonFormats,
        default: 'table' as ComparisonFormat,
        describe: 'how to print it',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 compare table1 table2', 'the only run of each')
      .example('$0 compare table1/laptop-1a2b3c4d table1/laptop-5e6f7a8b --format latex', 'for a paper') as never,
  handler: async (options) => (await import('./compare-commands.js')).compare(options),
};
