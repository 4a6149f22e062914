import { basename } from 'node:path';
import { InputError } from '../../errors.js';
import { defineCommand, option, resultsFolder } from '../command.js';
import { jsonOption } from '../options.js';
import { print, printJson, versioned } from '../output.js';

export const compareCommand = defineCommand({
  command: 'compare <run...>',
  describe: 'differences between runs: definition and results, with intervals over several seeds',
  options: {
    run: option.argumentList('folders of runs, or their names below --results; each is compared with the first'),
    format: option.choice(['table', 'csv', 'markdown', 'latex'], 'how to print it', { default: 'table' }),
    json: jsonOption,
  },
  examples: {
    '$0 compare table1 table2 cascade': 'the only run of each, rows by margin and search',
    '$0 compare table1/laptop-1a2b3c4d table1/laptop-5e6f7a8b --format latex': 'for a paper',
  },
  run: async ({ run, results, format, json }) => {
    const { compareRuns, openRun } = await import('../../batch/compare.js');
    const { comparisonCsv, comparisonText } = await import('../comparison.js');
    if (run.length < 2) throw new InputError(`compare: ${run.length} run; valid: two or more`);
    const root = resultsFolder({ results });
    const [first, ...others] = await Promise.all(run.map((name) => openRun(name, root)));
    const comparisons = others.map((other) => compareRuns(first!, other));
    if (json) printJson(comparisons.length === 1 ? comparisons[0] : comparisons.map(versioned));
    else print(() => (format === 'csv' ? comparisonCsv(comparisons) : comparisonText(comparisons, root, format)));
  },
});

export const rerunCommand = defineCommand({
  command: 'rerun <run>',
  describe: 'run the definition of an earlier run again and compare the results, without writing any',
  options: { run: option.argument('folder of a run, or its name below --results (dgate runs)'), json: jsonOption },
  examples: { '$0 rerun table1/laptop-1a2b3c4d': 'prints "identical", or what moved and by how much' },
  run: async (options) => {
    const { comparisonText, rerun } = await import('../comparison.js');
    const comparison = await rerun(options.run, options);
    const [moved, differs] = [comparison.results.length > 0, comparison.basis.length > 0];
    if (options.json) printJson(comparison);
    else {
      if (!moved) print(`identical: ${comparison.equalRows} rows${differs ? ', on another basis' : ''}`);
      if (moved || differs) print(() => comparisonText([comparison], resultsFolder(options), 'table'));
    }
    if (moved) process.exitCode = 1;
  },
});

export const tableCommand = defineCommand({
  command: 'table <run>',
  describe: "a run's own table for a paper or a page, captioned, with intervals",
  options: {
    run: option.argument('folder of a run, or its name below --results (dgate runs)'),
    format: option.choice(['latex', 'markdown', 'html'], 'how to print it', { default: 'latex' }),
  },
  examples: {
    '$0 table table1 > table1.tex': 'the only run of table1, as \\begin{table}',
    '$0 table table1/laptop-1a2b3c4d --format markdown': 'for a page',
  },
  run: async ({ run, results, format }) => {
    const { openRun } = await import('../../batch/compare.js');
    const { captioned } = await import('../comparison.js');
    const { tableCells } = await import('../../report/table.js');
    const { folder, table, title, images } = await openRun(run, resultsFolder({ results }));
    const { head, lines } = tableCells(table);
    const rows = lines.map(({ cells }) => cells.map((cell) => cell.trim()));
    const isFilled = (i: number): boolean => rows.some((cells) => cells[i] !== '');
    const pick = (cells: readonly string[]): string[] => cells.filter((_, i) => isFilled(i));
    const on = images === undefined ? '' : ` over the ${images.toLocaleString('en')} reported images`;
    const caption = `${title ?? basename(folder)}. ±: half of the 95 % interval${on}.`;
    print(captioned(caption, pick(head), rows.map(pick), format));
  },
});
