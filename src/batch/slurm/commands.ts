import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { InputError } from '../../errors.js';

const run = promisify(execFile);

/** A task in Slurm's queue. */
export interface QueuedTask {
  /** Job id of the array. */
  readonly job: string;
  /** Position in it. */
  readonly index: number;
  /** Slurm's state: PENDING, RUNNING, FAILED... */
  readonly state: string;
  /** Slurm's reason for waiting: Dependency, Resources... */
  readonly reason: string;
  readonly nodes: string;
}

/** Submits a script. @returns the job id @throws InputError with Slurm's message if it refuses */
export async function sbatch(script: string, after: readonly string[], array?: string): Promise<string> {
  const dependency = after.length > 0 ? [`--dependency=afterany:${after.join(':')}`] : [];
  const tasks = array === undefined ? [] : [`--array=${array}`];
  const stdout = await slurm('sbatch', ['--parsable', ...dependency, ...tasks, script]);
  return stdout.trim().split(';')[0]!;
}

/** Cancels submitted jobs. */
export async function scancel(jobs: readonly string[]): Promise<void> {
  if (jobs.length > 0) await slurm('scancel', jobs);
}

/** Every task of these jobs in Slurm's queue, which drops tasks some minutes after their end. */
export async function queued(jobs: readonly string[]): Promise<QueuedTask[]> {
  // All jobs of the user: squeue fails when asked for a job that it has dropped.
  const format = '%i|%T|%r|%N';
  const stdout = await slurm('squeue', ['--noheader', '--array', '--states=all', '--me', `--format=${format}`]);
  return stdout.split('\n').flatMap((line) => {
    const [id = '', state = '', reason = '', nodes = ''] = line.trim().split('|');
    const [, job, index] = /^(\d+)_(\d+)$/.exec(id) ?? [];
    return job !== undefined && jobs.includes(job) ? [{ job, index: Number(index), state, reason, nodes }] : [];
  });
}

async function slurm(program: string, args: readonly string[]): Promise<string> {
  try {
    return (await run(program, args)).stdout;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if ('code' in error && error.code === 'ENOENT') {
      throw new InputError(`${program}: no such command; valid: on a machine of a Slurm cluster, or with --dry-run`);
    }
    throw new InputError(`${program}: ${refusalOf('stderr' in error ? String(error.stderr) : error.message)}`, {
      cause: error,
    });
  }
}

/**
 * Slurm's error messages in one line, without `sbatch: error: ` before each; the last one summarises.
 *
 * @param said the error output of a Slurm command
 */
export function refusalOf(said: string): string {
  const lines = said
    .trim()
    .split('\n')
    .map((line) => line.replace(/^(\w+: )?((error|fatal): )?/, '').trim());
  const isUnreachable = /configuration source|contact slurm controller|resolve_ctls/.test(said);
  return `${lines.join('; ')}${isUnreachable ? '; valid: on a machine of a Slurm cluster that answers, or with --dry-run' : ''}`;
}
