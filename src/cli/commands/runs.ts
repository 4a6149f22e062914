import { InputError } from '../../errors.js';
import { defineCommand, option, resultsFolder } from '../command.js';
import { jsonOption } from '../options.js';
import { print, printJson, say } from '../output.js';

export const runsCommand = defineCommand({
  command: 'runs',
  describe: 'every run in the folder of results, newest first, with its best row at a margin',
  options: {
    margin: option.decimal('largest accuracy margin of the row shown, as a fraction', { default: 0.01 }),
    sort: option.choice(['date', 'name', 'accuracy', 'flops', 'seconds'], 'order of the runs', { default: 'date' }),
    filter: option.list('only runs with this value: path=value, as gates.loss=hinge or experiment=table1'),
    pareto: option.flag('instead: the rows of all runs that no other row beats in accuracy and FLOPs'),
    svg: option.text('with --pareto: also draw them to this file'),
    csv: option.flag('CSV on stdout, nothing else'),
    json: jsonOption,
  },
  examples: {
    '$0 runs': 'what was run here, and what came out',
    '$0 runs --filter preset=laptop --sort flops --margin 0.005':
      'the cheapest first, each with half a point lost at most',
    '$0 runs --pareto --svg pareto.svg': 'the best of all rows, as a list and a picture',
  },
  run: async ({ results, margin, sort, filter, pareto, svg, csv, json }) => {
    if (!(margin >= 0 && margin < 1)) {
      throw new InputError(`--margin ${margin}: not a fraction; valid: 0 to below 1, as 0.01 for one point`);
    }
    if (csv && json) throw new InputError('--csv and --json: give one of them');
    if (svg !== undefined && !pareto) throw new InputError('--svg: draws the rows of --pareto; add --pareto');
    const batch = await import('../../batch/runs.js');
    const root = resultsFolder({ results });
    const runs = batch.filterRuns(await batch.listRuns(root, margin, say), filter).sort(batch.runOrders[sort]);
    const best = pareto ? batch.paretoRows(runs) : [];
    if (json) printJson(pareto ? best : runs.map(({ values: _, rows: __, ...run }) => run));
    else {
      const table = pareto ? batch.paretoTable(best) : batch.runsTable(runs);
      const { renderFindingCsv } = await import('../../report/rows.js');
      const { findingCells, renderColumns } = await import('../../report/findings.js');
      const { head, lines } = findingCells(table, table.rows.length);
      const names = head.map((name) => name.replace(' (', '\n('));
      if (csv) print(renderFindingCsv(table));
      else if (lines.length > 0) print(() => `${table.title}\n${renderColumns(names, lines)}`);
      else print(`no runs in ${root}${filter.length > 0 ? ' match the filters' : ''}; dgate run makes some`);
    }
    const sets = new Set(runs.map(({ values }) => values.get('testImages')));
    if (pareto && sets.size > 1) {
      say(`these runs were reported on ${sets.size} different sets of test images; --filter testImages=HASH keeps one`);
    }
    if (svg !== undefined) {
      const { renderSvg } = await import('../../report/figures.js');
      const { writeFileAtomic } = await import('../../store/files.js');
      await writeFileAtomic(svg, await renderSvg(batch.paretoFigure(runs), say));
      say(`written: ${svg}`);
    }
  },
});
