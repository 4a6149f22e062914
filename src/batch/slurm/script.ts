import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InputError } from '../../errors.js';
import { shellWord, visible } from '../../escape.js';
import type { StageName } from './plan.js';

/** Requested resources; the cluster's defaults apply to absent ones. */
export interface Resources {
  readonly partition?: string;
  readonly account?: string;
  /** As Slurm takes it: `2:00:00`. */
  readonly time?: string;
  /** As Slurm takes it: `1`, `a100:1`. For the stages that run the network or train. */
  readonly gpus?: string;
  readonly cpus?: number;
  /** As Slurm takes it: `16G`. */
  readonly memory?: string;
  /** Most tasks of an array that run at once. */
  readonly atOnce?: number;
  /** Further arguments of `sbatch`, unchanged. */
  readonly sbatch: readonly string[];
}

interface ScriptOptions {
  readonly stage: StageName;
  /** Tasks in the array. */
  readonly tasks: number;
  /** The submission's folder. */
  readonly folder: string;
  readonly workingFolder: string;
  readonly resources: Resources;
  /** The command that starts dgate: node, its options, the program. */
  readonly program: readonly string[];
  readonly jobName: string;
}

const onDevice: readonly StageName[] = ['extract', 'gate', 'run'];

/** The batch script of one stage: an array, one process for each task, which receives its position. */
export function stageScript(options: ScriptOptions): string {
  const { stage, tasks, folder, workingFolder, resources, program, jobName } = options;
  const { partition, account, time, gpus, cpus, memory, sbatch } = resources;
  const asked: readonly (readonly [name: string, value: string | number | undefined])[] = [
    ['job-name', jobName],
    ['array', arraySpec(`0-${tasks - 1}`, resources)],
    ['output', join(folder.replaceAll('%', '%%'), 'logs', `${stage}-%a.log`)],
    ['open-mode', 'append'],
    ['chdir', workingFolder],
    ['partition', partition],
    ['account', account],
    ['time', time],
    ['gpus', onDevice.includes(stage) ? gpus : undefined],
    ['cpus-per-task', cpus],
    ['mem', memory],
  ];
  const lines = asked.flatMap(([name, value]) => (value === undefined ? [] : [directive(name, `${value}`)]));
  const command = [...program, 'task', folder].map(shellWord).join(' ');
  return [
    '#!/bin/bash',
    ...lines,
    '#SBATCH --requeue',
    ...sbatch.map(verbatimDirective),
    `exec ${command} "${stage}-$SLURM_ARRAY_TASK_ID"`,
    '',
  ].join('\n');
}

/** `0-3%2`: the tasks of an array and how many at a time. */
export function arraySpec(tasks: string, { atOnce }: Pick<Resources, 'atOnce'>): string {
  return atOnce === undefined ? tasks : `${tasks}%${atOnce}`;
}

/**
 * An option of sbatch as a line of the script.
 *
 * @throws InputError if the value has a control character: a line break would start a command
 */
function directive(name: string, value: string): string {
  if (visible(value) !== value) {
    throw new InputError(`--${name} ${value}: a control character; valid: text on one line (Slurm's script holds it)`);
  }
  const word = /^[\w./:,=@%+-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
  return `#SBATCH --${name}=${word}`;
}

/** A further argument of `sbatch`, unchanged. @throws InputError if it has several lines or is no option */
function verbatimDirective(argument: string): string {
  if (visible(argument) !== argument || !/^-/.test(argument)) {
    throw new InputError(`--sbatch ${argument}; valid: one option of sbatch on one line: --sbatch=--qos=long`);
  }
  return `#SBATCH ${argument}`;
}

const run = promisify(execFile);

/** A task in Slurm's queue. */
interface QueuedTask {
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
