import { InputError } from '../../errors.js';
import { defineCommand, option } from '../command.js';
import { experimentOptions, optionOverrides, submitOptions } from '../options.js';

export const runCommand = defineCommand({
  command: 'run [experiment...]',
  describe: 'run experiments from images to tables; cached results are not computed again',
  options: {
    experiment: option.anyArguments('names (dgate list experiments), files (./mine.ts), or all'),
    ...experimentOptions,
    'log-images': option.flag(
      'also write images.csv: class, confidence and exit of each image; and scores for run --scores',
    ),
    scores: option.list('scores of the exits of any network, instead of images and weights: .npz, .safetensors, .csv'),
  },
  examples: {
    '$0 run resnet56': 'fetch data and weights, extract, train, search, report',
    '$0 run resnet56 --checkpoint resnet56.th': 'with weights from a file',
    '$0 run resnet56 --set gates.loss=cross-entropy': 'another loss; features come from the cache',
    '$0 run table1 --set gates.loss=hinge,cross-entropy --seeds 0..4': 'a grid: each combination once, one table',
    '$0 run table1 --set gates.l2=0.02 --dry-run': 'what would be computed, why, and how long it takes',
    '$0 run ./mine.ts --preset smoke --json': 'a definition of your own',
    '$0 run --scores scores.npz': 'thresholds for any network, from its scores',
  },
  run: async ({ scores, experiment = [], ...given }) => {
    const options = { ...given, experiment: [...experiment, ...scores] };
    if (options.experiment.length === 0) {
      const valid = 'names (dgate list experiments), files (./mine.ts), all, or --scores FILE';
      throw new InputError(`something is missing after the command: 0 given, 1 needed; valid: ${valid}`);
    }
    const { isGrid, planOnly, runGrids } = await import('../run-grid.js');
    const { runExperiments } = await import('../run-experiments.js');
    const run = options.dryRun ? planOnly : isGrid(options.set) ? runGrids : runExperiments;
    await run(options, optionOverrides(options));
  },
});

export const submitCommand = defineCommand({
  command: 'submit [experiment...]',
  describe: 'run experiments on a Slurm cluster: one array of tasks for each stage; returns at once with the job ids',
  options: submitOptions,
  examples: {
    '$0 submit table1 --shards 8 --gpus 1 --time 1:00:00': 'eight tasks extract, then one for each gate',
    '$0 submit table1 --set gates.loss=hinge,cross-entropy --seeds 0..4': 'a grid overnight',
    '$0 submit --status': 'progress of the newest submission',
    '$0 submit --resubmit --only gate-1': 'one task again; it resumes from the cache',
  },
  run: async (options) => (await import('../submissions.js')).submit(options),
});

/** Called by the scripts of `dgate submit`. */
export const taskCommand = defineCommand({
  command: 'task <submission> <task>',
  describe: false,
  options: {
    submission: option.argument('folder of the submission'),
    task: option.argument('stage and position: extract-2'),
  },
  examples: {},
  run: async ({ submission, task }) => (await import('../submissions.js')).runTask(submission, task),
});
