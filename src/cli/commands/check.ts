import { anyArguments, checkOptions, defineCommand } from '../command.js';

export const checkCommand = defineCommand({
  command: 'check [experiment...]',
  describe: 'run at a small size, compare with a baseline and print what moved; exit status 1 if anything did',
  builder: (yargs) =>
    yargs
      .positional(
        'experiment',
        anyArguments('names (dgate list experiments) or files (./mine.ts); by default every one that has a baseline'),
      )
      .options(checkOptions)
      .example('$0 check', 'every experiment with a baseline')
      .example('$0 check ./mine.ts --checkpoint mine.safetensors --junit check.xml', 'your own, on a CI server')
      .example('$0 check ./mine.ts --update', 'accept the new results as the baseline'),
  run: async (options) => (await import('../check-experiments.js')).checkExperiments(options),
});
