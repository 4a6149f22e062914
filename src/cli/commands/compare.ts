import { InputError } from '../../errors.js';
import { defineCommand, resultsFolder } from '../command.js';
import { print, printJson, versioned } from '../output.js';

export const compareCommand = defineCommand({
  command: 'compare <run...>',
  describe: 'two runs or more, only what differs: definition and results, with intervals where there are seeds',
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'folders of runs, or their names below --results; the first one is compared with each other one',
      })
      .option('format', {
        choices: ['table', 'csv', 'markdown', 'latex'] as const,
        default: 'table' as const,
        describe: 'how to print it',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 compare table1 table2 cascade', 'the only run of each, rows by margin and search')
      .example('$0 compare table1/laptop-1a2b3c4d table1/laptop-5e6f7a8b --format latex', 'for a paper'),
  run: async ({ run, results, format, json }) => {
    const { compareRuns } = await import('../../batch/compare.js');
    const { openRun } = await import('../../batch/compare.js');
    const { comparisonCsv, comparisonText } = await import('../comparison.js');
    if (run.length < 2) throw new InputError(`compare: ${run.length} run; valid: two or more`);
    const root = resultsFolder({ results });
    const [first, ...others] = await Promise.all(run.map((name) => openRun(name, root)));
    const comparisons = others.map((other) => compareRuns(first!, other));
    if (json) printJson(comparisons.length === 1 ? comparisons[0] : comparisons.map(versioned));
    else print(() => (format === 'csv' ? comparisonCsv(comparisons) : comparisonText(comparisons, root, format)));
  },
});
