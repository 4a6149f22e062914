import { defineCommand } from '../command.js';
import { decimalOption, optionOverrides, runOptions, textOption } from '../options.js';

export const frontierCommand = defineCommand({
  command: 'frontier <experiment>',
  describe: 'the cheapest system for each accuracy: each network alone, cascades, cut and gated networks',
  builder: (yargs) =>
    yargs
      .positional('experiment', {
        type: 'string',
        demandOption: true,
        describe: 'a name (dgate list experiments) or a file (./mine.ts), with a cascade or gates',
      })
      .option('margin', decimalOption('the largest loss of the system that comes with a promise: 0.005'))
      .option('agreement', {
        type: 'boolean',
        describe: 'no labels: margins and promise are agreement with the network that losses are counted from',
      })
      .option('out', textOption('file for that system, as one ONNX graph'))
      .options(runOptions)
      .example('$0 frontier ./mine.ts', 'one table, frontier.csv and frontier.svg')
      .example('$0 frontier ./mine.ts --margin 0.005 --out best.onnx', 'the cheapest that loses half a point at most'),
  run: async (options) => (await import('../frontier-run.js')).findFrontier(options, optionOverrides(options)),
});
