import { InputError } from '../../errors.js';
import { defineCommand } from '../command.js';
import { experimentOptions, flag, listOption, optionOverrides } from '../options.js';

export const runCommand = defineCommand({
  command: 'run [experiment...]',
  describe: 'run experiments from images to tables; cached results are not computed again',
  builder: (yargs) =>
    yargs
      .positional('experiment', {
        type: 'string',
        array: true,
        describe: 'names (dgate list experiments), files (./mine.ts), or all',
      })
      .options(experimentOptions)
      .option('log-images', flag('also write images.csv: class, confidence and exit of each image'))
      .option(
        'scores',
        listOption('what the exits of any network said, without images or weights: .npz, .safetensors, .csv'),
      )
      .example('$0 run resnet56', 'fetch data and weights, extract, train, search, report')
      .example('$0 run resnet56 --checkpoint resnet56.th', 'with weights from a file')
      .example('$0 run resnet56 --set gates.loss=cross-entropy', 'another loss; features come from the cache')
      .example(
        '$0 run table1 --set gates.loss=hinge,cross-entropy --seeds 0..4',
        'a grid: each combination once, one table',
      )
      .example('$0 run table1 --set gates.l2=0.02 --dry-run', 'what would be computed, why, and how long it takes')
      .example('$0 run ./mine.ts --preset smoke --json', 'a definition of your own')
      .example('$0 run --scores scores.npz', 'thresholds for a network of anybody, from its scores'),
  run: async ({ scores, experiment = [], ...given }) => {
    const options = { ...given, experiment: [...experiment, ...scores] };
    if (options.experiment.length === 0) {
      throw new InputError(
        'something is missing after the command: 0 given, 1 needed; valid: names (dgate list experiments), files (./mine.ts), all, or --scores FILE',
      );
    }
    const { isGrid } = await import('../run-grid.js');
    const overrides = optionOverrides(options);
    if (options.dryRun) await (await import('../dry-run.js')).dryRun(options, overrides);
    else if (isGrid(options.set)) await (await import('../run-grid.js')).runGrids(options, overrides);
    else await (await import('../run-experiments.js')).runExperiments(options, overrides);
  },
});
