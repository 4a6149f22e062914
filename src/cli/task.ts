import type { CommandModule } from 'yargs';
import type { GlobalOptions } from './context.js';

interface TaskOptions extends GlobalOptions {
  readonly submission: string;
  readonly task: string;
}

/** What the scripts of `dgate submit` call; not shown in `dgate --help`. */
export const taskCommand: CommandModule<GlobalOptions, TaskOptions> = {
  command: 'task <submission> <task>',
  describe: false,
  builder: (yargs) =>
    yargs
      .positional('submission', { type: 'string', demandOption: true, describe: 'folder of the submission' })
      .positional('task', { type: 'string', demandOption: true, describe: 'stage and position: extract-2' }),
  handler: async ({ submission, task }) => (await import('./task-commands.js')).runTask(submission, task),
};
