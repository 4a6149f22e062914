import { join, resolve } from 'node:path';
import { perSeed } from '../batch/grid.js';
import {
  arraySpec,
  type PlannedRun,
  type PlannedTable,
  planTasks,
  type Resources,
  type StageName,
  type SubmissionPlan,
  sbatch,
  scancel,
  stageNames,
  stageScript,
} from '../batch/slurm/jobs.js';

import { Submission, type SubmittedJob, statusOf, type TaskStatus } from '../batch/slurm/submission.js';
import { InputError } from '../errors.js';
import { renderColumns } from '../report/findings.js';
import { exists, writeFileAtomic } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { cacheFolder, resultsFolder } from './command.js';
import { assertWhole, optionOverrides, type SubmitOptions } from './options.js';
import { print, printJson } from './output.js';
import { duration } from './progress.js';
import { commandLine } from './run-experiments.js';
import { planGrids, settingsOf } from './run-grid.js';

/** `dgate submit`, `--status` and `--resubmit`. */
export async function submit(options: SubmitOptions): Promise<void> {
  const { experiment = [], status, resubmit, dryRun } = options;
  if (Number(experiment.length > 0) + Number(status) + Number(resubmit) !== 1) {
    throw new InputError('submit: valid: experiments to submit, --status, or --resubmit, one of the three');
  }
  if (status) return showStatus(options);
  if (resubmit) return submitAgain(options);
  const plan = await planOf({ ...options, experiment });
  const resources = resourcesOf(options);
  if (dryRun) return printScripts(plan, resources, options);
  return submitNew(plan, resources, { ...options, experiment });
}

/** Options of a new submission. */
type NewOptions = SubmitOptions & { readonly experiment: readonly string[] };

async function planOf(options: NewOptions): Promise<SubmissionPlan> {
  assertWhole('shards', options.shards, 'a whole number from 1 to 1000', 1000);
  const runs: PlannedRun[] = [];
  const tables: PlannedTable[] = [];
  for (const { name, cells } of await planGrids(options, optionOverrides(options))) {
    const ofCells = cells.map((cell) => {
      const command = commandLine([name], { ...options, set: settingsOf(options.set, cell) });
      return perSeed(cell.experiment).map((experiment) => runs.push({ experiment, command }) - 1);
    });
    tables.push({ command: commandLine([name], options), cells, runs: ofCells });
  }
  return planTasks(options.preset, runs, tables, options.shards);
}

function resourcesOf(options: SubmitOptions): Resources {
  const { partition, account, time, gpus, cpus, mem: memory, atOnce, sbatch } = options;
  for (const [name, value] of Object.entries({ 'at-once': atOnce, cpus }))
    assertWhole(name, value, 'a whole number from 1');
  const given = Object.entries({ partition, account, time, gpus, cpus, memory, atOnce });
  return { ...Object.fromEntries(given.filter(([, value]) => value !== undefined)), sbatch };
}

function scriptFor(plan: SubmissionPlan, stage: StageName, folder: string, resources: Resources) {
  const tasks = plan.tasks.filter((task) => task.stage === stage).length;
  const names = [...new Set(plan.runs.map(({ experiment }) => experiment.name))];
  const text = stageScript({
    stage,
    tasks,
    folder,
    workingFolder: process.cwd(),
    resources,
    program: [process.execPath, ...process.execArgv, resolve(process.argv[1]!)],
    jobName: `dgate-${names.length > 1 ? `${names.length}-experiments` : names[0]}-${stage}`,
  });
  return { text, tasks };
}

/** `--dry-run`: what would be submitted, in order. */
function printScripts(plan: SubmissionPlan, resources: Resources, options: SubmitOptions): void {
  const folder = join(cacheFolder(options), 'submissions', '<id>');
  const stages = stageNames.filter((name) => plan.tasks.some(({ stage }) => stage === name));
  const scripts = stages.map((stage) => ({ stage, ...scriptFor(plan, stage, folder, resources) }));
  if (options.json) {
    printJson({ scripts, tasks: plan.tasks });
    return;
  }
  for (const [i, { stage, text, tasks }] of scripts.entries()) {
    const after = i === 0 ? 'at once' : `after the ${scripts[i - 1]!.stage} tasks`;
    print(`# ${stage}.sh: ${tasks} task${tasks > 1 ? 's' : ''}, ${after}\n${text}`);
  }
}

async function submitNew(plan: SubmissionPlan, resources: Resources, options: NewOptions): Promise<void> {
  const cache = cacheFolder(options);
  const results = resultsFolder(options);
  await ensureFolder(cache);
  await ensureFolder(results);
  const command = commandLine(options.experiment, options).replace(/^dgate run/, 'dgate submit');
  const submission = await Submission.create({ ...plan, cache, results, command, resources });
  const jobs: SubmittedJob[] = [];
  try {
    for (const stage of submission.stages) {
      const { text, tasks } = scriptFor(plan, stage, submission.folder, resources);
      await writeFileAtomic(submission.scriptOf(stage), text);
      const before = jobs.slice(-1).map(({ job }) => job);
      const job = await sbatch(submission.scriptOf(stage), before);
      jobs.push({ stage, job, tasks: Array.from({ length: tasks }, (_, i) => i) });
    }
  } catch (error) {
    await scancel(jobs.map(({ job }) => job)).catch(() => {}); // if sbatch fails, scancel may fail too
    throw error;
  }
  await submission.addJobs(jobs);
  sayJobs(submission, jobs, options);
}

function sayJobs(submission: Submission, jobs: readonly SubmittedJob[], { json }: SubmitOptions): void {
  if (json) {
    printJson({ submission: submission.id, folder: submission.folder, jobs });
    return;
  }
  const rows = jobs.map(({ stage, job, tasks }) => [stage, job, String(tasks.length)]);
  print(
    `submission ${submission.id}: ${submission.folder}\n${renderColumns(['Stage', 'Job', 'Tasks'], rows)}\n` +
      'check progress: dgate submit --status\n',
  );
}

/** The requested submission, or the newest. @throws InputError */
async function openSubmission(options: SubmitOptions): Promise<Submission> {
  const cache = cacheFolder(options);
  const { submission: id } = options;
  const all = await Submission.list(cache);
  const folder = id === undefined ? all[0] : all.find((path) => path.endsWith(`/${id}`));
  if (folder !== undefined && (await exists(join(folder, 'submission.json')))) return Submission.open(folder);
  const valid = all.map((path) => path.slice(path.lastIndexOf('/') + 1)).join(', ') || 'none yet';
  throw new InputError(`${cache}: no submission${id === undefined ? '' : ` ${id}`}; there are: ${valid}`);
}

async function showStatus(options: SubmitOptions): Promise<void> {
  const submission = await openSubmission(options);
  const tasks = await statusOf(submission);
  const failed = tasks.filter(({ state }) => state === 'failed');
  if (failed.length > 0) process.exitCode = 1;
  const shown = tasks.map(({ task, state, job, why, seconds }) => {
    return { task: task.id, what: task.label, state, job, why, ...(seconds !== undefined && { seconds }) };
  });
  const count = (state: TaskStatus['state']): number => tasks.filter((one) => one.state === state).length;
  const counts = { waits: count('waits'), runs: count('runs'), done: count('done'), failed: failed.length };
  if (options.json) return printJson({ submission: submission.id, ...counts, tasks: shown });
  const rows = shown.map(({ task, what, state, job, why, seconds }) => {
    return [task, what, state, job, seconds === undefined ? '' : duration(seconds), why];
  });
  const said = Object.entries(counts).map(([state, number]) => `${number} ${state}`);
  print(
    `submission ${submission.id} (${submission.file.command}): ${said.join(', ')}; logs in ${join(submission.folder, 'logs')}\n` +
      `${renderColumns(['Task', 'What', 'State', 'Slurm', 'Time', 'Why'], rows, 'text')}\n` +
      (failed.length > 0 ? 'try again, from the cache: dgate submit --resubmit [--only TASK]\n' : ''),
  );
}

/** Resubmits failed tasks; each stage waits for the one before, as in the first submission. */
async function submitAgain(options: SubmitOptions): Promise<void> {
  const submission = await openSubmission(options);
  const all = await statusOf(submission);
  const failed = all.filter(({ state }) => state === 'failed').map(({ task }) => task.id);
  const wrong = options.only.filter((id) => !failed.includes(id));
  if (wrong.length > 0) {
    throw new InputError(
      `--only ${wrong.join(', ')}: has not failed; valid: ${failed.join(', ') || 'none has failed'}`,
    );
  }
  const wanted = options.only.length > 0 ? options.only : failed;
  if (wanted.length === 0) throw new InputError(`submission ${submission.id}: nothing has failed`);
  const alive = all.filter(({ state }) => state === 'waits' || state === 'runs');
  const jobs: SubmittedJob[] = [];
  for (const stage of submission.stages) {
    const tasks = [...submission.tasksOf(stage).entries()].flatMap(([i, { id }]) => (wanted.includes(id) ? [i] : []));
    if (tasks.length === 0) continue;
    const earlier = alive
      .filter(({ task }) => stageNames.indexOf(task.stage) < stageNames.indexOf(stage))
      .map(({ job }) => job.split('_')[0]!);
    const after = [...new Set([...earlier, ...jobs.map(({ job }) => job)])];
    for (const task of tasks) await submission.forgetState(submission.tasksOf(stage)[task]!.id);
    const array = arraySpec(tasks.join(','), submission.file.resources);
    jobs.push({ stage, tasks, job: await sbatch(submission.scriptOf(stage), after, array) });
    await submission.addJobs(jobs.slice(-1));
  }
  sayJobs(submission, jobs, options);
}
