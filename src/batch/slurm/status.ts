import { queued } from './commands.js';
import type { Task } from './plan.js';
import type { Submission } from './submission.js';

/** Where a task stands. */
export interface TaskStatus {
  readonly task: Task;
  readonly state: 'waits' | 'runs' | 'done' | 'failed';
  /** Slurm's name of it: `12_3`. */
  readonly job: string;
  /** Why it waits or has failed; where it runs. */
  readonly why: string;
  readonly seconds?: number;
}

const waiting = ['PENDING', 'REQUEUED', 'REQUEUE_HOLD', 'REQUEUE_FED', 'SPECIAL_EXIT', 'RESV_DEL_HOLD'];
const running = ['RUNNING', 'COMPLETING', 'CONFIGURING', 'SUSPENDED', 'STOPPED', 'SIGNALING', 'STAGE_OUT'];

/**
 * Every task of a submission: what it says of itself, and for those that are silent what Slurm says. A task that has begun
 * and that Slurm no longer runs was killed.
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
