import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../../errors.js';
import type { Experiment } from '../../experiment/schema.js';
import { infinityAsText, namesIn, readJson, readTextIfThere, writeFileAtomic } from '../../store/files.js';
import { type StageName, type SubmissionPlan, stageNames, type Task } from './plan.js';
import { queued, type Resources } from './script.js';

/** A submission with its folders: absolute paths on the shared file system. */
export interface Places {
  readonly cache: string;
  readonly results: string;
}

/** A submitted array: all tasks of a stage, or some of them resubmitted. */
export interface SubmittedJob {
  readonly stage: StageName;
  readonly job: string;
  /** Positions in the stage's array. */
  readonly tasks: readonly number[];
}

/** `submission.json`, written once. */
interface SubmissionFile extends SubmissionPlan, Places {
  readonly command: string;
  readonly date: string;
  readonly resources: Resources;
}

/** A task's state on the shared file system, written by the task when it begins and when it ends. */
interface TaskState {
  readonly state: 'running' | 'done' | 'failed';
  /** One line: what went wrong. */
  readonly why?: string;
  readonly host: string;
  readonly began: string;
  readonly seconds?: number;
  /** How often Slurm has restarted it. */
  readonly restarts: number;
}

/**
 * A submission: a folder `<cache>/submissions/<id>/` with the plan, scripts, logs and a state file for each task. There
 * is no coordinating process: the cache coordinates the tasks.
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
    await writeFileAtomic(
      join(folder, 'logs', 'README'),
      'One log for each task; a requeued task appends to its own.\n',
    );
    return submission;
  }

  /** @throws InputError if the folder is no submission */
  static async open(folder: string): Promise<Submission> {
    const file = (await readJson(join(folder, 'submission.json'))) as SubmissionFile | undefined;
    if (file?.tasks === undefined) {
      throw new InputError(`${folder}: no submission; valid: a folder that dgate submit made`);
    }
    const infinite = (experiment: Experiment): Experiment => {
      const fixed = experiment.thresholds.fixed.map((row) => row.map(Number)); // JSON holds Infinity as text
      return { ...experiment, thresholds: { ...experiment.thresholds, fixed } };
    };
    return new Submission(folder, {
      ...file,
      runs: file.runs.map((run) => ({ ...run, experiment: infinite(run.experiment) })),
      tables: file.tables.map((table) => ({
        ...table,
        cells: table.cells.map((cell) => ({ ...cell, experiment: infinite(cell.experiment) })),
      })),
    });
  }

  /** Folders of all submissions of a cache, the newest first. */
  static async list(cache: string): Promise<string[]> {
    const root = join(cache, 'submissions');
    const names = await namesIn(root);
    return names
      .sort()
      .reverse()
      .map((name) => join(root, name));
  }

  get id(): string {
    return this.folder.slice(this.folder.lastIndexOf('/') + 1);
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

  /** Every array that was submitted, the oldest first. */
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

/** The state of a task. */
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

/**
 * Every task of a submission: its own state file, or else Slurm's state. A task that has begun and that Slurm no longer
 * runs was killed.
 */
export async function statusOf(submission: Submission): Promise<TaskStatus[]> {
  const jobs = await submission.jobs();
  const queue = await queued(jobs.map(({ job }) => job));
  return Promise.all(
    submission.file.tasks.map(async (task): Promise<TaskStatus> => {
      const index = submission.tasksOf(task.stage).indexOf(task);
      const { job = '' } = jobs.findLast(({ stage, tasks }) => stage === task.stage && tasks.includes(index)) ?? {};
      const own = await submission.stateOf(task.id);
      const seen = queue.find((one) => one.job === job && one.index === index);
      const about = { task, job: `${job}_${index}`, ...(own?.seconds !== undefined && { seconds: own.seconds }) };
      if (own?.state === 'done') return { ...about, state: 'done', why: '' };
      if (seen !== undefined && waiting.includes(seen.state)) {
        const again = own === undefined ? '' : ', requeued: goes on from the cache';
        return { ...about, state: 'waits', why: `${seen.reason}${again}` };
      }
      if (own?.state === 'failed') return { ...about, state: 'failed', why: own.why ?? '' };
      if (seen !== undefined && running.includes(seen.state))
        return { ...about, state: 'runs', why: `on ${seen.nodes}` };
      const word = seen === undefined || seen.state === 'COMPLETED' ? 'gone' : seen.state.toLowerCase();
      const last = await submission.lastLine(task.id);
      const said = own === undefined ? 'never began' : 'killed';
      return {
        ...about,
        state: 'failed',
        why: `${said} (Slurm: ${word})${last === undefined ? '' : `; log: ${last}`}`,
      };
    }),
  );
}
