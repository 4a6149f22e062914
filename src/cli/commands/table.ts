import { basename } from 'node:path';
import { defineCommand, resultsFolder } from '../command.js';
import { print } from '../output.js';

export const tableCommand = defineCommand({
  command: 'table <run>',
  describe: "a run's own table for a paper or a page, captioned, with intervals",
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'folder of a run, or its name below --results (dgate runs)',
      })
      .option('format', {
        choices: ['latex', 'markdown', 'html'] as const,
        default: 'latex' as const,
        describe: 'how to print it',
      })
      .example('$0 table table1 > table1.tex', 'the only run of table1, as \\begin{table}')
      .example('$0 table table1/laptop-1a2b3c4d --format markdown', 'for a page'),
  run: async ({ run, results, format }) => {
    const { openRun } = await import('../../batch/compare.js');
    const { captioned } = await import('../comparison.js');
    const { tableCells } = await import('../../report/table.js');
    const { folder, table, title, images } = await openRun(run, resultsFolder({ results }));
    const { head, lines } = tableCells(table);
    const rows = lines.map(({ cells }) => cells.map((cell) => cell.trim()));
    const filled = head.map((_, i) => i).filter((i) => rows.some((cells) => cells[i] !== ''));
    const pick = (cells: readonly string[]): string[] => filled.map((i) => cells[i]!);
    const on = images === undefined ? '' : ` over the ${images.toLocaleString('en')} reported images`;
    const caption = `${title ?? basename(folder)}. ±: half of the 95 % interval${on}.`;
    print(captioned(caption, pick(head), rows.map(pick), format));
  },
});
