import { realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  type CombinationResult,
  combined,
  finishedRun,
  type Grid,
  gridFolder,
  perSeed,
  renderGrid,
  renderSeeds,
  writeGrid,
  writeSeeds,
} from '../batch/grid.js';
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
  type Task,
} from '../batch/slurm/jobs.js';
import {
  assertTrained,
  extractPart,
  prepare,
  Submission,
  type SubmittedJob,
  statusOf,
  type TaskStatus,
  trainOne,
} from '../batch/slurm/submission.js';
import { InputError, messageOf } from '../errors.js';
import { renderColumns } from '../report/findings.js';
import type { AnalysisContext } from '../run/stages.js';
import { exists, writeFileAtomic } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { cacheFolder, resultsFolder } from './command.js';
import { duration, openContext } from './context.js';
import { assertWhole, optionOverrides, type SubmitOptions } from './options.js';
import { print, printEither, printJson, reportFailure } from './output.js';
import { commandLine, runSeed } from './run-experiments.js';
import { planGrids, settingsOf } from './run-grid.js';

/** `dgate submit`, `--status` and `--resubmit`. */
export async function submit(options: SubmitOptions): Promise<void> {
  const { experiment = [], status, resubmit, dryRun } = options;
  if (Number(experiment.length > 0) + Number(status) + Number(resubmit) !== 1) {
    throw new InputError('submit: no action, or several; valid: experiments to submit, --status, or --resubmit');
  }
  if (status) return showStatus(options);
  if (resubmit) return submitAgain(options);
  const plan = await planOf({ ...options, experiment });
  const resources = resourcesOf(options);
  if (dryRun) return printScripts(plan, resources, options);
  return submitNew(plan, resources, { ...options, experiment });
}

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
  const { partition, account, time, gpus, cpus, mem, atOnce, sbatch } = options;
  assertWhole('at-once', atOnce, 'a whole number from 1');
  assertWhole('cpus', cpus, 'a whole number from 1');
  return { partition, account, time, gpus, cpus, mem, atOnce, sbatch };
}

function scriptFor(plan: SubmissionPlan, stage: StageName, folder: string, resources: Resources) {
  const tasks = plan.tasks.filter((task) => task.stage === stage).length;
  const names = [...new Set(plan.runs.map(({ experiment }) => experiment.name))];
  // npx starts a link of its own cache, which other machines need not see.
  const program = [process.execPath, ...process.execArgv, realpathSync(process.argv[1]!)];
  const jobName = `dgate-${names.length > 1 ? `${names.length}-experiments` : names[0]}-${stage}`;
  return {
    text: stageScript({ stage, tasks, folder, workingFolder: process.cwd(), resources, program, jobName }),
    tasks,
  };
}

/** `--dry-run`: the scripts in the order of submission. */
function printScripts(plan: SubmissionPlan, resources: Resources, options: SubmitOptions): void {
  const folder = join(cacheFolder(options), 'submissions', '<id>');
  const stages = stageNames.filter((name) => plan.tasks.some(({ stage }) => stage === name));
  const scripts = stages.map((stage) => ({ stage, ...scriptFor(plan, stage, folder, resources) }));
  const texts = scripts.map(({ stage, text, tasks }, i) => {
    const after = i === 0 ? 'at once' : `after the ${scripts[i - 1]!.stage} tasks`;
    return `# ${stage}.sh: ${tasks} task${tasks > 1 ? 's' : ''}, ${after}\n${text}`;
  });
  printEither(options.json, { scripts, tasks: plan.tasks }, texts.join(''));
}

async function submitNew(plan: SubmissionPlan, resources: Resources, options: NewOptions): Promise<void> {
  const [cache, results] = [cacheFolder(options), resultsFolder(options)];
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

function sayJobs({ id, folder }: Submission, jobs: readonly SubmittedJob[], { json }: SubmitOptions): void {
  const rows = jobs.map(({ stage, job, tasks }) => [stage, job, String(tasks.length)]);
  const table = renderColumns(['Stage', 'Job', 'Tasks'], rows);
  const text = `submission ${id}: ${folder}\n${table}\ncheck progress: dgate submit --status`;
  printEither(json, { submission: id, folder, jobs }, text);
}

/** The requested submission, or the newest. @throws InputError */
async function openSubmission(options: SubmitOptions): Promise<Submission> {
  const cache = cacheFolder(options);
  const all = await Submission.list(cache);
  const { submission: id = all[0] ?? '' } = options;
  const folder = join(cache, 'submissions', id);
  if (all.includes(id) && (await exists(join(folder, 'submission.json')))) return Submission.open(folder);
  const wanted = options.submission === undefined ? '' : ` ${id}`;
  throw new InputError(`${cache}: no submission${wanted}; there are: ${all.join(', ') || 'none yet'}`);
}

async function showStatus(options: SubmitOptions): Promise<void> {
  const submission = await openSubmission(options);
  const tasks = await statusOf(submission);
  const count = (state: TaskStatus['state']): number => tasks.filter((one) => one.state === state).length;
  const counts = { waits: count('waits'), runs: count('runs'), done: count('done'), failed: count('failed') };
  if (counts.failed > 0) process.exitCode = 1;
  const shown = tasks.map(({ task, state, job, why, seconds }) => {
    return { task: task.id, what: task.label, state, job, why, ...(seconds !== undefined && { seconds }) };
  });
  if (options.json) return printJson({ submission: submission.id, ...counts, tasks: shown });
  const rows = shown.map(({ task, what, state, job, why, seconds }) => {
    return [task, what, state, job, seconds === undefined ? '' : duration(seconds), why];
  });
  const said = Object.entries(counts).map(([state, number]) => `${number} ${state}`);
  print(
    `submission ${submission.id} (${submission.file.command}): ${said.join(', ')}; logs in ${join(submission.folder, 'logs')}\n` +
      `${renderColumns(['Task', 'What', 'State', 'Slurm', 'Time', 'Why'], rows, 'text')}\n` +
      (counts.failed > 0 ? 'try again, from the cache: dgate submit --resubmit [--only TASK]\n' : ''),
  );
}

/** Resubmits failed tasks. Each stage waits for the one before, as in the first submission. */
async function submitAgain(options: SubmitOptions): Promise<void> {
  const submission = await openSubmission(options);
  const all = await statusOf(submission);
  const failed = all.filter(({ state }) => state === 'failed').map(({ task }) => task.id);
  const wrong = options.only.filter((id) => !failed.includes(id));
  if (wrong.length > 0) {
    const valid = failed.join(', ') || 'none has failed';
    throw new InputError(`--only ${wrong.join(', ')}: has not failed; valid: ${valid}`);
  }
  const wanted = options.only.length > 0 ? options.only : failed;
  if (wanted.length === 0) throw new InputError(`submission ${submission.id}: nothing has failed`);
  const alive = all.filter(({ state }) => state === 'waits' || state === 'runs');
  const jobs: SubmittedJob[] = [];
  for (const stage of submission.stages) {
    const ids = submission.tasksOf(stage).map(({ id }) => id);
    const tasks = [...ids.keys()].filter((i) => wanted.includes(ids[i]!));
    if (tasks.length === 0) continue;
    const earlier = alive
      .filter(({ task }) => stageNames.indexOf(task.stage) < stageNames.indexOf(stage))
      .map(({ job }) => job.split('_')[0]!);
    const after = [...new Set([...earlier, ...jobs.map(({ job }) => job)])];
    for (const task of tasks) await submission.forgetState(ids[task]!);
    const array = arraySpec(tasks.join(','), submission.file.resources);
    jobs.push({ stage, tasks, job: await sbatch(submission.scriptOf(stage), after, array) });
    await submission.addJobs(jobs.slice(-1));
  }
  sayJobs(submission, jobs, options);
}

/** `dgate task`: does one task of a submission and writes its state to the shared file system. */
export async function runTask(folder: string, id: string): Promise<void> {
  const submission = await Submission.open(folder);
  const { tasks, cache, results } = submission.file;
  const task = tasks.find((one) => one.id === id);
  if (task === undefined) {
    throw new InputError(`task ${id}: not in this submission; valid: ${tasks.map((one) => one.id).join(', ')}`);
  }
  const restarts = Number(process.env['SLURM_RESTART_COUNT'] ?? 0);
  const about = { host: hostname(), began: new Date().toISOString(), restarts };
  const start = performance.now();
  const seconds = (): number => Math.round((performance.now() - start) / 10) / 100;
  await submission.setState(id, { state: 'running', ...about });
  try {
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
  const run = submission.file.runs[task.experiment]!;
  if (task.stage === 'data') return prepare(context, run.experiment);
  if (task.stage === 'extract') return extractPart(context, run.experiment, task.share!);
  if (task.stage === 'gate') return trainOne(context, run.experiment, task.gate!);
  if (task.stage === 'table') return makeTable(context, submission, task);
  await assertTrained(context, run.experiment);
  await runSeed(context, run, { preset: submission.file.preset, json: false });
}

/** The first failed task that this one depends on, and its reason. A table itself names its missing runs. */
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

/** Makes the table of all finished combinations and seeds. @throws InputError with the missing ones */
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
      return combined(settings, finished);
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
