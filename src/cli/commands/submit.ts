import { defineCommand } from '../command.js';
import { argument, submitOptions } from '../options.js';

export const submitCommand = defineCommand({
  command: 'submit [experiment...]',
  describe: 'run experiments on a Slurm cluster: one array of tasks for each stage; returns at once with the job ids',
  builder: (yargs) =>
    yargs
      .positional('experiment', { type: 'string', array: true, describe: 'names or files, as dgate run takes them' })
      .options(submitOptions)
      .example('$0 submit table1 --shards 8 --gpus 1 --time 1:00:00', 'eight tasks extract, then one for each gate')
      .example('$0 submit table1 --set gates.loss=hinge,cross-entropy --seeds 0..4', 'a grid over night')
      .example('$0 submit --status', 'progress of the newest submission')
      .example('$0 submit --resubmit --only gate-1', 'one task again; it resumes from the cache'),
  run: async (options) => (await import('../submissions.js')).submit(options),
});

/** What the scripts of `dgate submit` call; not shown in `dgate --help`. */
export const taskCommand = defineCommand({
  command: 'task <submission> <task>',
  describe: false,
  builder: (yargs) =>
    yargs
      .positional('submission', argument('folder of the submission'))
      .positional('task', argument('stage and position: extract-2')),
  run: async ({ submission, task }) => (await import('../run-task.js')).runTask(submission, task),
});
