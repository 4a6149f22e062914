import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { InputError } from '../../errors.js';
import { shellWord, visible } from '../../escape.js';
import { isCascade, networkLabel } from '../../experiment/network.js';
import type { PresetName } from '../../experiment/rules.js';
import type { Experiment } from '../../experiment/schema.js';
import type { PlannedCombination } from '../grid.js';

/** The stages of a submission, in order; each is one array of tasks. */
export const stageNames = ['data', 'extract', 'gate', 'run', 'table'] as const;
export type StageName = (typeof stageNames)[number];

/** One task of an array: one process. */
export interface Task {
  /** Stage and position in its array: `extract-2`. */
  readonly id: string;
  readonly stage: StageName;
  readonly label: string;
  /** Position of its experiment in `runs`; for `table`, of the first experiment in the grid. */
  readonly experiment: number;
  /** For `extract`: which part of the shards, from 0, and the number of parts. */
  readonly share?: { readonly index: number; readonly of: number };
  /** For `gate`: the gate's position, from 0. */
  readonly gate?: number;
  /** For `table`: position in `tables`. */
  readonly grid?: number;
  /** Ids of the tasks whose results it needs. */
  readonly needs: readonly string[];
}

/** One combination and seed, the work of one `run` task. */
export interface PlannedRun {
  readonly experiment: Experiment;
  /** The command that does the same without a cluster. */
  readonly command: string;
}

/** An experiment with all its combinations and seeds: one table. */
export interface PlannedTable {
  readonly command: string;
  readonly cells: readonly PlannedCombination[];
  /** For each cell, the positions in `runs` of its seeds. */
  readonly runs: readonly (readonly number[])[];
}

export interface SubmissionPlan {
  readonly preset: PresetName;
  readonly runs: readonly PlannedRun[];
  readonly tables: readonly PlannedTable[];
  readonly tasks: readonly Task[];
}

/**
 * Plans the tasks of these runs, `shards` for each extraction. Work that several runs share (a network's data, an extraction,
 * a gate) is one task; so is each table of several runs.
 */
export function planTasks(
  preset: PresetName,
  runs: readonly PlannedRun[],
  tables: readonly PlannedTable[],
  shards: number,
): SubmissionPlan {
  const tasks: Task[] = [];
  const known = new Map<string, string[]>();
  /** Adds tasks that are not planned yet. @returns the ids of the tasks */
  const once = (key: unknown, make: () => Omit<Task, 'id'>[]): string[] => {
    const text = JSON.stringify(key);
    const ids = known.get(text) ?? make().map((task) => add(task));
    known.set(text, ids);
    return ids;
  };
  const add = (task: Omit<Task, 'id'>): string => {
    const id = `${task.stage}-${tasks.filter(({ stage }) => stage === task.stage).length}`;
    tasks.push({ id, ...task });
    return id;
  };
  const runIds = runs.map(({ experiment }, number) => {
    const { name, network, checkpoint } = experiment;
    const about = { experiment: number, label: name };
    const netLabel = networkLabel(network);
    const data = once(['data', network, checkpoint], () => [{ stage: 'data', ...about, label: netLabel, needs: [] }]);
    const extract = once(['extract', extractionKey(experiment)], () =>
      Array.from({ length: shards }, (_, index) => {
        const label = `${netLabel}, part ${index + 1} of ${shards}`;
        return { stage: 'extract', ...about, label, share: { index, of: shards }, needs: data };
      }),
    );
    const gates = gatesTrained(experiment).flatMap((stage, gate) =>
      once(['gate', gateKey(experiment), gate], () => [
        { stage: 'gate', ...about, label: `${name}, gate ${gate + 1} (stage ${stage})`, gate, needs: extract },
      ]),
    );
    const needs = gates.length > 0 ? gates : extract;
    return add({ stage: 'run', ...about, label: runLabel(experiment, number, tables), needs });
  });
  tables.forEach(({ runs: positions }, grid) => {
    const needs = positions.flat().map((run) => runIds[run]!);
    const first = positions[0]![0]!;
    if (needs.length > 1) add({ stage: 'table', label: runs[first]!.experiment.name, experiment: first, grid, needs });
  });
  return { preset, runs, tables, tasks };
}

/** Stages of all gates to train; in a cascade, network by network. */
const gatesTrained = ({ network, gates }: Experiment): readonly number[] =>
  isCascade(network) ? network.networks.flatMap((one) => one.gates?.after ?? []) : gates.after;

/** @param number position in the runs of the submission */
function runLabel({ name, seed }: Experiment, number: number, tables: readonly PlannedTable[]): string {
  const [settings = {}] = tables.flatMap(({ cells, runs }) =>
    cells.flatMap((cell, i) => (runs[i]!.includes(number) ? [cell.settings] : [])),
  );
  return [name, ...Object.entries(settings).map(([path, value]) => `${path}=${value}`), `seed ${seed}`].join(', ');
}

/** The part of a definition that determines an extraction. */
function extractionKey(experiment: Experiment): unknown {
  const { seed, thresholds, gates, ...rest } = experiment;
  const isSubset = experiment.trainImages !== undefined || experiment.testImages !== undefined;
  const { after, pooling } = gates;
  const others = { name: undefined, title: undefined, published: undefined, analysis: undefined, seeds: undefined };
  return { ...rest, ...others, validation: thresholds.validation.kind, after, pooling, ...(isSubset && { seed }) };
}

function gateKey(experiment: Experiment): unknown {
  const { confidence: _, ...gates } = experiment.gates;
  return { ...(extractionKey(experiment) as object), gates, seed: experiment.seed };
}

/** Requested resources, the options of `dgate submit`; the cluster's defaults apply to absent ones. */
export interface Resources
  extends Partial<Record<'partition' | 'account' | 'time' | 'gpus' | 'mem', string | undefined>> {
  readonly cpus?: number | undefined;
  /** Most tasks of an array that run at a time. */
  readonly atOnce?: number | undefined;
  /** Further arguments of `sbatch`, unchanged. */
  readonly sbatch: readonly string[];
}

interface ScriptOptions {
  readonly stage: StageName;
  /** Tasks in the array. */
  readonly tasks: number;
  readonly folder: string;
  readonly workingFolder: string;
  readonly resources: Resources;
  /** The command that starts dgate: node, its options, the program. */
  readonly program: readonly string[];
  readonly jobName: string;
}

const onDevice: readonly StageName[] = ['extract', 'gate', 'run'];

/** The batch script of one stage: an array with one process per task. */
export function stageScript(options: ScriptOptions): string {
  const { stage, tasks, folder, workingFolder, resources, program, jobName } = options;
  const { partition, account, time, gpus, cpus, mem, sbatch } = resources;
  const directives: Readonly<Record<string, string | number | undefined>> = {
    'job-name': jobName,
    array: arraySpec(`0-${tasks - 1}`, resources),
    output: join(folder.replaceAll('%', '%%'), 'logs', `${stage}-%a.log`),
    'open-mode': 'append',
    chdir: workingFolder,
    partition,
    account,
    time,
    gpus: onDevice.includes(stage) ? gpus : undefined,
    'cpus-per-task': cpus,
    mem,
  };
  const lines = Object.entries(directives).flatMap(([name, value]) =>
    value === undefined ? [] : [directive(name, `${value}`)],
  );
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

/** `0-3%2`: the tasks of an array, and how many may run at a time. */
export function arraySpec(tasks: string, { atOnce }: Pick<Resources, 'atOnce'>): string {
  return atOnce === undefined ? tasks : `${tasks}%${atOnce}`;
}

/** An option of sbatch as a line of the script. @throws InputError on control characters: a line break would start a command */
function directive(name: string, value: string): string {
  if (visible(value) !== value) {
    throw new InputError(`--${name} ${value}: a control character; valid: one line, for the batch script`);
  }
  const word = /^[\w./:,=@%+-]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
  return `#SBATCH --${name}=${word}`;
}

/** A further argument of sbatch, unchanged. @throws InputError if it has several lines or is not an option */
function verbatimDirective(argument: string): string {
  if (visible(argument) !== argument || !/^-/.test(argument)) {
    throw new InputError(`--sbatch ${argument}; valid: one option of sbatch on one line: --sbatch=--qos=long`);
  }
  return `#SBATCH ${argument}`;
}

const run = promisify(execFile);

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

/**
 * The tasks of these jobs in Slurm's queue, which drops them some minutes after their end: job and index of the array,
 * state (PENDING, RUNNING, FAILED), and reason for waiting (Dependency, Resources).
 */
export async function queued(jobs: readonly string[]) {
  // All jobs of the user: squeue fails on a job that it has dropped.
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
      throw new InputError(`${program}: no such command; run this on a machine of a Slurm cluster, or try --dry-run`);
    }
    const output = 'stderr' in error ? String(error.stderr) : error.message;
    throw new InputError(`${program}: ${refusalOf(output)}`, { cause: error });
  }
}

/** Slurm's error output in one line, without `sbatch: error: ` before each message. */
export function refusalOf(output: string): string {
  const lines = output
    .trim()
    .split('\n')
    .map((line) => line.replace(/^(\w+: )?((error|fatal): )?/, '').trim());
  const isUnreachable = /configuration source|contact slurm controller|resolve_ctls/.test(output);
  return `${lines.join('; ')}${isUnreachable ? '; run this where a Slurm cluster answers, or try --dry-run' : ''}`;
}
