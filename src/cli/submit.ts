import type { CommandModule } from 'yargs';
import { type PresetName, presetNames } from '../experiment/definition.js';
import type { GlobalOptions } from './context.js';
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

const text = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
const number = (describe: string) => ({ type: 'number', requiresArg: true, describe }) as const;
const list = (describe: string) => {
  return { type: 'string', array: true, nargs: 1, default: [] as string[], describe } as const;
};

export const submitCommand: CommandModule<GlobalOptions, SubmitOptions> = {
  command: 'submit [experiment...]',
  describe: 'run experiments on a Slurm cluster: one array of tasks for each stage; returns at once with the job ids',
  builder: (yargs) =>
    yargs
      .positional('experiment', { type: 'string', array: true, describe: 'names or files, as dgate run takes them' })
      .option('preset', { choices: presetNames, default: 'laptop' as PresetName, describe: 'size of the run' })
      .option('checkpoint', text('weights: a file, or a known id'))
      .option('engine', text('what executes the network (dgate list engines)'))
      .option('seed', number('seed of image choice, folds and training'))
      .option('seeds', text('several seeds: 0..4, or 0,2,5'))
      .option('train-images', number('training images for the gates'))
      .option('test-images', number('test images'))
      .option('set', list('override anything in the definition: path=value; path=value,value for every combination'))
      .option('shards', { type: 'number', requiresArg: true, default: 1, describe: 'tasks of one extraction' })
      .option('at-once', number('tasks of a stage at a time'))
      .option('partition', text("Slurm's --partition"))
      .option('account', text("Slurm's --account"))
      .option('time', text("Slurm's --time of a task: 2:00:00"))
      .option('gpus', text("Slurm's --gpus of a task that extracts, trains or runs: 1, a100:1"))
      .option('cpus', number("Slurm's --cpus-per-task"))
      .option('mem', text("Slurm's --mem of a task: 16G"))
      .option('sbatch', list('further arguments of sbatch, as they stand: --sbatch=--qos=long'))
      .option('dry-run', { type: 'boolean', default: false, describe: 'print the scripts; submit nothing' })
      .option('status', { type: 'boolean', default: false, describe: 'what waits, runs, is done, or failed and why' })
      .option('resubmit', { type: 'boolean', default: false, describe: 'submit again what failed, and what it failed' })
      .option('only', list('with --resubmit: this task alone (extract-2)'))
      .option('submission', { ...text('which one, for --status and --resubmit'), defaultDescription: 'the newest' })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON document on stdout, nothing else' })
      .example('$0 submit table1 --shards 8 --gpus 1 --time 1:00:00', 'eight tasks extract, then one for each gate')
      .example('$0 submit table1 --set gates.loss=hinge,cross-entropy --seeds 0..4', 'a grid over night')
      .example('$0 submit --status', 'how the newest submission stands')
      .example('$0 submit --resubmit --only gate-1', 'one task again; it goes on from the cache') as never,
  handler: async (options) => (await import('./submit-commands.js')).submit(options),
};
