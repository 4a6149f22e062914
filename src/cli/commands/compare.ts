import { defineCommand, resultsFolder } from '../command.js';
import { print, printJson } from '../output.js';

export const compareCommand = defineCommand({
  command: 'compare <a> <b>',
  describe: 'two runs, only what differs: definition and results, with intervals where there are seeds',
  builder: (yargs) =>
    yargs
      .positional('a', { type: 'string', demandOption: true, describe: 'folder of a run, or its name below --results' })
      .positional('b', { type: 'string', demandOption: true, describe: 'the other' })
      .option('format', {
        choices: ['table', 'csv', 'markdown', 'latex'] as const,
        default: 'table' as const,
        describe: 'how to print it',
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 compare table1 table2', 'the only run of each')
      .example('$0 compare table1/laptop-1a2b3c4d table1/laptop-5e6f7a8b --format latex', 'for a paper'),
  run: async ({ a, b, results, format, json }) => {
    const { compareRuns } = await import('../../batch/compare.js');
    const { openRun } = await import('../../batch/compare-runs.js');
    const { comparisonCsv, comparisonText } = await import('../comparison.js');
    const root = resultsFolder({ results });
    const comparison = compareRuns(await openRun(a, root), await openRun(b, root));
    if (json) printJson(comparison);
    else print(format === 'csv' ? comparisonCsv(comparison) : comparisonText(comparison, root, format));
  },
});
