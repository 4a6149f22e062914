import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError } from '../../errors.js';
import type { Experiment } from '../../experiment/schema.js';
import { LazyEngine, type RunContext } from '../../run/context.js';
import { type Extraction, extract, extractionOf, extractShards, missingShards, type Share } from '../../run/extract.js';
import { mapSplits, openMembers } from '../../run/images.js';
import { openSource, plan } from '../../run/plan.js';
import { withRepair } from '../../run/run.js';
import { trainingSets } from '../../run/score.js';
import { networksOf } from '../../run/source.js';
import { openStages } from '../../run/stages.js';
import { untrainedGates } from '../../run/train.js';
import { infinityAsText, namesIn, readJson, readTextIfThere, writeFileAtomic } from '../../store/files.js';
import { queued, type Resources, type StageName, type SubmissionPlan, stageNames, type Task } from './jobs.js';

/** A submitted array: tasks of a stage. */
export interface SubmittedJob {
  readonly stage: StageName;
  readonly job: string;
  /** Positions in the stage's array. */
  readonly tasks: readonly number[];
}

/** `submission.json`, written once. */
interface SubmissionFile extends SubmissionPlan {
  /** Absolute paths on the shared file system. */
  readonly cache: string;
  readonly results: string;
  readonly command: string;
  readonly date: string;
  readonly resources: Resources;
}

/** A task's state, which the task itself writes when it begins and when it ends. */
interface TaskState {
  readonly state: 'running' | 'done' | 'failed';
  /** The problem in one line. */
  readonly why?: string;
  readonly host: string;
  readonly began: string;
  readonly seconds?: number;
  /** Restarts by Slurm. */
  readonly restarts: number;
}

/**
 * A folder `<cache>/submissions/<id>/` with plan, scripts, logs and a state file per task. There is no coordinating
 * process: the tasks share the cache.
 */
export class Submission {
  private constructor(
    readonly folder: string,
    readonly file: SubmissionFile,
  ) {}

  static async create(file: Omit<SubmissionFile, 'date'>): Promise<Submission> {
    const date = new Date().toISOString();
    const id = `${date.slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}-${randomBytes(2).toString('hex')}`;
    const folder = join(file.cache, 'submissions', id);
    const submission = new Submission(folder, { ...file, date });
    await writeFileAtomic(join(folder, 'submission.json'), `${JSON.stringify(submission.file, infinityAsText, 1)}\n`);
    await writeFileAtomic(join(folder, 'logs', 'README'), 'One log per task; a requeued task appends to its own.\n');
    return submission;
  }

  /** @throws InputError if the folder is not a submission */
  static async open(folder: string): Promise<Submission> {
    const file = (await readJson(join(folder, 'submission.json'))) as SubmissionFile | undefined;
    if (file?.tasks === undefined) {
      throw new InputError(`${folder}: not a submission; valid: a folder that dgate submit wrote`);
    }
    const withInfinity = (experiment: Experiment): Experiment => {
      const fixed = experiment.thresholds.fixed.map((row) => row.map(Number)); // JSON holds Infinity as text
      return { ...experiment, thresholds: { ...experiment.thresholds, fixed } };
    };
    return new Submission(folder, {
      ...file,
      runs: file.runs.map((run) => ({ ...run, experiment: withInfinity(run.experiment) })),
    });
  }

  /** Ids of all submissions of a cache, the newest first. */
  static async list(cache: string): Promise<string[]> {
    return (await namesIn(join(cache, 'submissions'))).sort().reverse();
  }

  get id(): string {
    return basename(this.folder);
  }

  /** The tasks of a stage in the order of its array. */
  tasksOf(stage: StageName): SubmissionPlan['tasks'] {
    return this.file.tasks.filter((task) => task.stage === stage);
  }

  /** Stages that have tasks, in order. */
  get stages(): StageName[] {
    return stageNames.filter((stage) => this.tasksOf(stage).length > 0);
  }

  scriptOf(stage: StageName): string {
    return join(this.folder, `${stage}.sh`);
  }

  logOf(id: string): string {
    return join(this.folder, 'logs', `${id}.log`);
  }

  /** Submitted arrays, the oldest first. */
  async jobs(): Promise<SubmittedJob[]> {
    return ((await readJson(join(this.folder, 'jobs.json'))) ?? []) as SubmittedJob[];
  }

  async addJobs(jobs: readonly SubmittedJob[]): Promise<void> {
    const all = [...(await this.jobs()), ...jobs];
    await writeFileAtomic(join(this.folder, 'jobs.json'), `${JSON.stringify(all, null, 1)}\n`);
  }

  async stateOf(id: string): Promise<TaskState | undefined> {
    return (await readJson(this.#statePath(id))) as TaskState | undefined;
  }

  async setState(id: string, state: TaskState): Promise<void> {
    await writeFileAtomic(this.#statePath(id), `${JSON.stringify(state, null, 1)}\n`);
  }

  async forgetState(id: string): Promise<void> {
    await rm(this.#statePath(id), { force: true });
  }

  /** The last line of a task's log. */
  async lastLine(id: string): Promise<string | undefined> {
    const text = await readTextIfThere(this.logOf(id));
    return text?.trim().split('\n').at(-1) || undefined;
  }

  #statePath(id: string): string {
    return join(this.folder, 'state', `${id}.json`);
  }
}

export interface TaskStatus {
  readonly task: Task;
  readonly state: 'waits' | 'runs' | 'done' | 'failed';
  /** Slurm's id: `12_3`. */
  readonly job: string;
  /** Why it waits or failed; the host if it runs. */
  readonly why: string;
  readonly seconds?: number;
}

const waiting = ['PENDING', 'REQUEUED', 'REQUEUE_HOLD', 'REQUEUE_FED', 'SPECIAL_EXIT', 'RESV_DEL_HOLD'];
const running = ['RUNNING', 'COMPLETING', 'CONFIGURING', 'SUSPENDED', 'STOPPED', 'SIGNALING', 'STAGE_OUT'];

/** The states of all tasks, from their files and Slurm's queue. A started task that Slurm no longer runs was killed. */
export async function statusOf(submission: Submission): Promise<TaskStatus[]> {
  const jobs = await submission.jobs();
  const queue = await queued(jobs.map(({ job }) => job));
  return Promise.all(
    submission.file.tasks.map(async (task): Promise<TaskStatus> => {
      const index = submission.tasksOf(task.stage).indexOf(task);
      const { job = '' } = jobs.findLast(({ stage, tasks }) => stage === task.stage && tasks.includes(index)) ?? {};
      const own = await submission.stateOf(task.id);
      const entry = queue.find((one) => one.job === job && one.index === index);
      const about = { task, job: `${job}_${index}`, ...(own?.seconds !== undefined && { seconds: own.seconds }) };
      if (own?.state === 'done') return { ...about, state: 'done', why: '' };
      if (entry !== undefined && waiting.includes(entry.state)) {
        const resuming = own === undefined ? '' : ', requeued: resumes from the cache';
        return { ...about, state: 'waits', why: `${entry.reason}${resuming}` };
      }
      if (own?.state === 'failed') return { ...about, state: 'failed', why: own.why ?? '' };
      if (entry !== undefined && running.includes(entry.state)) {
        return { ...about, state: 'runs', why: `on ${entry.nodes}` };
      }
      const slurmState = entry === undefined || entry.state === 'COMPLETED' ? 'gone' : entry.state.toLowerCase();
      const logLine = await submission.lastLine(task.id);
      const problem = `${own === undefined ? 'never began' : 'killed'} (Slurm: ${slurmState})`;
      return { ...about, state: 'failed', why: logLine === undefined ? problem : `${problem}; log: ${logLine}` };
    }),
  );
}

// The stages of a run as separate tasks that share only the cache: on a cluster, or in several terminals.

/** Opens the extractions of an experiment: every split of every network. */
async function open(context: RunContext, experiment: Experiment) {
  const planned = await plan(experiment);
  const engine = new LazyEngine(experiment.engine);
  const source = await openSource(context, experiment, planned);
  const extractions: Extraction[] = [];
  for (const { source: member, plan: own, images: splits } of await openMembers(context, experiment, planned, source)) {
    await mapSplits(splits, (images, label) => {
      extractions.push(extractionOf(context, member, images, own.places, engine, label, own.target));
    });
  }
  return { source, extractions };
}

/** Fetches and checks missing data and checkpoints. */
export async function prepare(context: RunContext, experiment: Experiment): Promise<void> {
  const { source } = await open(context, experiment);
  for (const each of networksOf(source)) await each.lowered();
}

/** Extracts a share of an experiment's images. The task that finds all shards complete also assembles the features. */
export async function extractPart(context: RunContext, experiment: Experiment, { index, of }: Share): Promise<void> {
  await withRepair(context, async () => {
    const { extractions } = await open(context, experiment);
    for (const [i, extraction] of extractions.entries()) {
      // Rotated, so that the last task does not get the remainders of all splits.
      if (!(await extraction.entry.isComplete())) {
        await extractShards(context, extraction, { index: (index + i) % of, of });
      }
    }
    for (const extraction of extractions) {
      if ((await missingShards(extraction)).length === 0) await extract(context, extraction);
    }
  });
}

/** Trains one gate (from 0) on cached features. @throws InputError if they are not cached */
export async function trainOne(context: RunContext, experiment: Experiment, gate: number): Promise<void> {
  await assertExtracted(context, experiment);
  await withRepair(context, async () => (await openStages(context, experiment)).train(experiment, [gate]));
}

/** @throws InputError with the missing shards, which other tasks make */
async function assertExtracted(context: RunContext, experiment: Experiment): Promise<void> {
  const { extractions } = await open(context, experiment);
  const problems: string[] = [];
  for (const extraction of extractions) {
    const missing = await missingShards(extraction);
    if (missing.length > 0) problems.push(`${extraction.name}: ${missing.join(', ')} missing`);
  }
  if (problems.length > 0) throw new InputError(problems);
}

/** @throws InputError with the missing gates, which other tasks make */
export async function assertTrained(context: RunContext, experiment: Experiment): Promise<void> {
  await assertExtracted(context, experiment);
  const missing = await withRepair(context, async () => {
    const { sets } = await openStages(context, experiment);
    return untrainedGates(context, experiment, trainingSets(sets, experiment));
  });
  if (missing.length > 0) {
    throw new InputError(`gate${missing.length > 1 ? 's' : ''} ${missing.map((gate) => gate + 1).join(', ')}: missing`);
  }
}
