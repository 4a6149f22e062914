import type { CommandModule } from 'yargs';
import type { GlobalOptions } from './context.js';
import { flag, list, number, runOptions, text } from './options.js';
import type { RunOptions } from './run.js';

export interface SubmitOptions extends Omit<RunOptions, 'experiment'> {
  readonly experiment?: string[];
  readonly shards: number;
  readonly atOnce?: number;
  readonly partition?: string;
  readonly account?: string;
  readonly time?: string;
  readonly gpus?: string;
  readonly cpus?: number;
  readonly mem?: string;
  readonly sbatch: string[];
  readonly dryRun: boolean;
  readonly status: boolean;
  readonly resubmit: boolean;
  readonly only: string[];
  readonly submission?: string;
}

export const submitCommand: CommandModule<GlobalOptions, SubmitOptions> = {
  command: 'submit [experiment...]',
  describe: 'run experiments on a Slurm cluster: one array of tasks for each stage; returns at once with the job ids',
  builder: (yargs) =>
    yargs
      .positional('experiment', { type: 'string', array: true, describe: 'names or files, as dgate run takes them' })
      .options({
        ...runOptions,
        seeds: text('several seeds: 0..4, or 0,2,5'),
        set: list('override anything in the definition: path=value; path=value,value for every combination'),
      })
      .option('shards', { ...number('tasks of one extraction'), default: 1 })
      .option('at-once', number('tasks of a stage at a time'))
      .option('partition', text("Slurm's --partition"))
      .option('account', text("Slurm's --account"))
      .option('time', text("Slurm's --time of a task: 2:00:00"))
      .option('gpus', text("Slurm's --gpus of a task that extracts, trains or runs: 1, a100:1"))
      .option('cpus', number("Slurm's --cpus-per-task"))
      .option('mem', text("Slurm's --mem of a task: 16G"))
      .option('sbatch', list('further arguments of sbatch, as they stand: --sbatch=--qos=long'))
      .option('dry-run', flag('print the scripts; submit nothing'))
      .option('status', flag('what waits, runs, is done, or failed and why'))
      .option('resubmit', flag('submit again what failed, and what it failed'))
      .option('only', list('with --resubmit: this task alone (extract-2)'))
      .option('submission', { ...text('which one, for --status and --resubmit'), defaultDescription: 'the newest' })
      .example('$0 submit table1 --shards 8 --gpus 1 --time 1:00:00', 'eight tasks extract, then one for each gate')
      .example('$0 submit table1 --set gates.loss=hinge,cross-entropy --seeds 0..4', 'a grid over night')
      .example('$0 submit --status', 'how the newest submission stands')
      .example('$0 submit --resubmit --only gate-1', 'one task again; it goes on from the cache') as never,
  handler: async (options) => (await import('./submit-commands.js')).submit(options),
};
