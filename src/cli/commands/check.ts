import { defineCommand } from '../command.js';
import { checkOptions } from '../options.js';

export const checkCommand = defineCommand({
  command: 'check [experiment...]',
  describe: 'run at a small size, compare with a baseline and print what moved; exit status 1 if anything did',
  options: checkOptions,
  examples: {
    '$0 check': 'every experiment with a baseline',
    '$0 check ./mine.ts --checkpoint mine.safetensors --junit check.xml': 'your own, on a CI server',
    '$0 check ./mine.ts --update': 'accept the new results as the baseline',
  },
  run: async (options) => (await import('../check-experiments.js')).checkExperiments(options),
});
