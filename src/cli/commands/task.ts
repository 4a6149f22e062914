import { defineCommand } from '../command.js';

/** What the scripts of `dgate submit` call; not shown in `dgate --help`. */
export const taskCommand = defineCommand({
  command: 'task <submission> <task>',
  describe: false,
  builder: (yargs) =>
    yargs
      .positional('submission', { type: 'string', demandOption: true, describe: 'folder of the submission' })
      .positional('task', { type: 'string', demandOption: true, describe: 'stage and position: extract-2' }),
  run: async ({ submission, task }) => (await import('../run-task.js')).runTask(submission, task),
});
