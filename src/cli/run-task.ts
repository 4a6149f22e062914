import { hostname } from 'node:os';
import {
  type CombinationResult,
  finishedRun,
  type Grid,
  gridFolder,
  mergeDocuments,
  renderGrid,
  renderSeeds,
  writeGrid,
  writeSeeds,
} from '../batch/grid.js';

import type { Task } from '../batch/slurm/jobs.js';
import { assertTrained, extractPart, prepare, Submission, trainOne } from '../batch/slurm/submission.js';

import { InputError, messageOf } from '../errors.js';
import type { AnalysisContext } from '../run/stages.js';
import { openContext } from './context.js';
import { print, reportFailure } from './output.js';
import { runSeed } from './run-experiments.js';

/** Does one task of a submission and writes its state to the shared file system. */
export async function runTask(folder: string, id: string): Promise<void> {
  const submission = await Submission.open(folder);
  const task = submission.file.tasks.find((one) => one.id === id);
  if (task === undefined) {
    const valid = submission.file.tasks.map((one) => one.id).join(', ');
    throw new InputError(`task ${id}: not in this submission; valid: ${valid}`);
  }
  const restarts = Number(process.env['SLURM_RESTART_COUNT'] ?? 0);
  const about = { host: hostname(), began: new Date().toISOString(), restarts };
  const start = performance.now();
  const seconds = (): number => Math.round((performance.now() - start) / 10) / 100;
  await submission.setState(id, { state: 'running', ...about });
  try {
    const { cache, results } = submission.file;
    await work(await openContext({ cache, results }), submission, task);
    await submission.setState(id, { state: 'done', ...about, seconds: seconds() });
  } catch (error) {
    const why = (await failedNeed(submission, task, error)) ?? messageOf(error).split('\n')[0]!;
    reportFailure(error, `${id}: `);
    await submission.setState(id, { state: 'failed', why, ...about, seconds: seconds() });
    process.exitCode = 1;
  }
}

async function work(context: AnalysisContext, submission: Submission, task: Task): Promise<void> {
  const { experiment, command } = submission.file.runs[task.experiment]!;
  switch (task.stage) {
    case 'data':
      return prepare(context, experiment);
    case 'extract':
      return extractPart(context, experiment, task.share!);
    case 'gate':
      return trainOne(context, experiment, task.gate!);
    case 'run': {
      await assertTrained(context, experiment);
      await runSeed(context, { experiment, command }, { preset: submission.file.preset, json: false });
      return;
    }
    case 'table':
      return makeTable(context, submission, task);
  }
}

/**
 * If a task lacks the results of another one: the first failed task that it depends on, and why that failed. The merged
 * table itself names the runs that it lacks.
 */
async function failedNeed(submission: Submission, task: Task, error: unknown): Promise<string | undefined> {
  if (!(error instanceof InputError) || task.stage === 'table') return undefined;
  for (const id of task.needs) {
    const need = await submission.stateOf(id);
    if (need?.state === 'done') continue;
    if (need?.state !== 'failed') return `needs ${id}, which was killed or never began`;
    return need.why?.startsWith('needs ') ? need.why : `needs ${id}, which failed: ${need.why}`;
  }
  return undefined;
}

/** The table of all finished combinations and seeds. */
async function makeTable(context: AnalysisContext, submission: Submission, task: Task): Promise<void> {
  const { preset, tables } = submission.file;
  const { cells, runs, command } = tables[task.grid!]!;
  const results = await Promise.all(
    cells.map(async ({ settings }, cell): Promise<CombinationResult> => {
      const finished = [];
      for (const run of runs[cell]!) {
        const found = await finishedRun(context, submission.file.runs[run]!.experiment, preset);
        if (found === undefined) {
          const id = `run-${run}`;
          const why = (await submission.stateOf(id))?.why ?? 'not finished';
          return { settings, state: 'failed', problem: `${id}: ${why}`, log: submission.logOf(id) };
        }
        finished.push(found);
      }
      const document = mergeDocuments(finished.map((run) => run.document));
      return { settings, state: 'done', document, folders: finished.map((run) => run.folder) };
    }),
  );
  const { name: experiment, title } = cells[0]!.experiment;
  const failed = results.flatMap((one) => (one.state === 'failed' ? [one.problem] : []));
  const [only] = results;
  if (results.length > 1) {
    const grid: Grid = { experiment, title, preset, command, combinations: results };
    await writeGrid(grid, gridFolder(grid, cells, context.resultsRoot), context.resultsRoot);
    print(() => renderGrid(grid));
  } else if (only?.state === 'done') {
    await writeSeeds(only.document, title, only.folders, context.resultsRoot);
    print(() => renderSeeds(only.document, title));
  }
  if (failed.length > 0) throw new InputError(`${failed.length} of ${results.length} missing: ${failed.join('; ')}`);
}
