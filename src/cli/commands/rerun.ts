import { defineCommand, resultsFolder } from '../command.js';
import { argument, flag } from '../options.js';
import { print, printJson } from '../output.js';

export const rerunCommand = defineCommand({
  command: 'rerun <run>',
  describe: 'run the definition of an earlier run again and compare the results; writes none',
  builder: (yargs) =>
    yargs
      .positional('run', argument('folder of a run, or its name below --results (dgate runs)'))
      .option('json', flag('one JSON document on stdout, nothing else'))
      .example('$0 rerun table1/laptop-1a2b3c4d', '"identical", or what moved and by how much'),
  run: async (options) => {
    const { rerun } = await import('../rerun-run.js');
    const { comparisonText } = await import('../comparison.js');
    const root = resultsFolder(options);
    const comparison = await rerun(options.run, options);
    if (options.json) printJson(comparison);
    else {
      const [moved, differs] = [comparison.results.length > 0, comparison.basis.length > 0];
      if (!moved) print(`identical: ${comparison.equalRows} rows${differs ? ', on another basis' : ''}`);
      if (moved || differs) print(() => comparisonText([comparison], root, 'table'));
    }
    if (comparison.results.length > 0) process.exitCode = 1;
  },
});
