import { join, relative, resolve } from 'node:path';
import { compareRuns, openRun } from '../batch/compare.js';
import { combined, type FinishedRun, perSeed, renderSeeds, writeSeeds } from '../batch/grid.js';
import { engineNamed } from '../engines/registry.js';
import { InputError, messageOf } from '../errors.js';
import { shellWord } from '../escape.js';
import { experimentNames, loadDefinition } from '../experiment/load.js';
import { type Override, parseSetting, resolveExperiment } from '../experiment/resolve.js';
import type { Experiment } from '../experiment/schema.js';
import { withLastTiming } from '../gated/time/files.js';
import {
  claimsOnRecord,
  paperExperiments,
  REFERENCE,
  type RunOnRecord,
  runsOnRecord,
  uncheckedClaims,
} from '../paper/index.js';
import { version } from '../project.js';
import { briefClaimLines, type ExperimentSummary, renderReadme, renderSummary } from '../report/claims.js';
import { plan, withFoundPlaces } from '../run/plan.js';
import { type RunDocument, runDocument } from '../run/record.js';
import { renderRun, runFiles, writeRun } from '../run/report.js';
import { runExperiment } from '../run/run.js';
import type { AnalysisContext } from '../run/stages.js';
import { namesIn, writeFileAtomic } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { machineNote } from '../timing/record.js';
import { openContext } from './context.js';
import { sayTime } from './estimates.js';
import type { RunOptions } from './options.js';
import { print, printJson, reportFailure, versioned } from './output.js';

/** `dgate run`: all definitions are checked before the first one runs; a failing experiment does not stop the others. */
export async function runExperiments(options: RunOptions, overrides: readonly Override[]): Promise<void> {
  const resolved = await resolveAll(options.experiment, options, overrides);
  const context = await openContext(options);
  await ensureFolder(context.resultsRoot);
  const several = resolved.map(({ name, experiment }) => ({ experiment, command: commandLine([name], options) }));
  const experiments = several.map(({ experiment }) => experiment);
  await sayTime(context, experiments);
  if (several.length > 1) return runSeveral(context, several, options);
  const { document } = await runOne(context, several[0]!, options);
  if (options.json) printJson(document);
}

interface Named {
  readonly experiment: Experiment;
  readonly command: string;
}

interface Finished extends FinishedRun {
  readonly versions: Readonly<Record<string, string>>;
}

interface OneRun extends Pick<RunOptions, 'preset' | 'json' | 'logImages'> {
  readonly isOneOfSeveral?: boolean;
}

/** Runs an experiment with each of its seeds, and makes a table of several seeds. */
async function runOne(context: AnalysisContext, { experiment, command }: Named, options: OneRun): Promise<Finished> {
  const runs: Finished[] = [];
  for (const one of perSeed(experiment)) runs.push(await runSeed(context, { experiment: one, command }, options));
  if (runs.length === 1) return runs[0]!;
  const { title } = experiment;
  const { document, folders } = combined({}, runs);
  const folder = await writeSeeds(document, title, folders, context.resultsRoot);
  if (!options.json) print(() => renderSeeds(document, title));
  context.progress.note(`written to ${folder}: table.csv, table.txt, record.json`);
  return { document, folder, versions: runs[0]!.versions };
}

/** Runs an experiment with one seed, writes its files and prints its tables, except with `--json`. */
export async function runSeed(
  context: AnalysisContext,
  { experiment, command }: Named,
  { preset, json, logImages, isOneOfSeveral = false }: OneRun,
): Promise<Finished> {
  const { progress, resultsRoot } = context;
  const outcome = await withLastTiming(context, await runExperiment(context, experiment), preset);
  const warn = (message: string): void => progress.warn(message);
  const document = runDocument(outcome, preset);
  const beside = await besideReferences(context, document);
  const folder = await writeRun(outcome, preset, resultsRoot, { command, warn, logImages, beside });
  // The summary of several experiments ends with their verdicts.
  if (!json) print(() => renderRun(outcome, preset, isOneOfSeveral ? () => [] : briefClaimLines));
  progress.note(`written to ${folder}: ${runFiles(outcome, logImages).join(', ')}`);
  for (const line of beside) progress.note(line);
  return { document, folder, versions: outcome.extractedOn?.versions ?? {} };
}

/** Compares a run with the committed runs of its preset: a line for each. */
async function besideReferences(
  { resultsRoot }: AnalysisContext,
  { experiment, preset, seeds, rows }: RunDocument,
): Promise<string[]> {
  const folders = (await namesIn(join(resultsRoot, REFERENCE, experiment)))
    .filter((name) => name.startsWith(`${preset}-`))
    .map((name) => `${REFERENCE}${experiment}/${name}`);
  const own = { folder: experiment, basis: new Map(), seeds, rows: [rows], table: rows };
  return Promise.all(
    folders.sort().map(async (folder) => {
      const { results: all } = compareRuns(await openRun(join(resultsRoot, folder), resultsRoot), own);
      const results = all.filter(({ quantity }) => !/^(speed|efficiency)_/.test(quantity)); // times always differ
      const differing = new Set(results.map(({ row }) => row)).size;
      const points = results.map(({ quantity, difference }) => {
        return quantity === 'accuracy_fraction' ? 100 * Math.abs(difference ?? 0) : 0;
      });
      const far = `${differing} rows differ, accuracy by ${Math.max(0, ...points).toFixed(2)} points at most; dgate compare shows them`;
      return `beside ${folder}: ${differing === 0 ? 'every row is the same' : far}`;
    }),
  );
}

/** Runs experiments in turn. A failure is reported at once and in the summary, and makes the exit status 1. */
async function runSeveral(context: AnalysisContext, several: readonly Named[], options: RunOptions): Promise<void> {
  const documents: object[] = [];
  const results: ExperimentSummary[] = [];
  let versions: Finished['versions'] = {};
  for (const named of several) {
    const started = performance.now();
    const { name } = named.experiment;
    const about = () => {
      return { experiment: name, command: named.command, seconds: (performance.now() - started) / 1000 };
    };
    try {
      const finished = await runOne(context, named, { ...options, isOneOfSeveral: true });
      documents.push(finished.document);
      versions = { ...versions, ...finished.versions };
      const folder = relative(context.resultsRoot, finished.folder).replaceAll('\\', '/');
      results.push({ state: 'done', ...about(), folder, claims: finished.document.claims ?? [] });
    } catch (error) {
      reportFailure(error, `${name}: `);
      const problem = messageOf(error).split('\n')[0]!;
      documents.push({ experiment: name, preset: options.preset, error: messageOf(error) });
      results.push({ state: 'failed', ...about(), problem, claims: await uncheckedClaims(name, problem) });
    }
  }
  if (options.json) printJson(documents.map(versioned));
  else print(() => renderSummary(results, context.resultsRoot));
  if (options.experiment.includes('all')) await writeReadme(context, results, versions, options);
  if (results.some(({ state }) => state === 'failed')) process.exitCode = 1;
}

/** Writes `README.md`, or `README-<preset>.md`, to the folder of results. */
async function writeReadme(
  { resultsRoot, progress }: AnalysisContext,
  results: readonly ExperimentSummary[],
  versions: Finished['versions'],
  options: RunOptions,
): Promise<void> {
  const { preset } = options;
  const { processor, cores, memoryBytes, system } = machineNote();
  const named = Object.entries({ dgate: version(), node: process.versions.node, ...versions });
  const done = results.flatMap((result): RunOnRecord[] =>
    result.state === 'done' ? [{ experiment: result.experiment, preset, folder: result.folder }] : [],
  );
  // Runs of the paper's networks on record count beside those of this command.
  const paper = preset === 'paper' ? [] : await runsOnRecord(resultsRoot, ['paper']);
  const known = new Set((await runsOnRecord(resultsRoot, [preset])).map(({ folder }) => folder));
  const runs = [...done.filter(({ folder }) => known.has(folder)), ...paper];
  const text = renderReadme(results, await claimsOnRecord(resultsRoot, runs), {
    command: commandLine(['all'], options),
    preset,
    date: new Date().toISOString().slice(0, 10),
    machine: `${processor}, ${cores} cores, ${(memoryBytes / 1024 ** 3).toFixed(0)} GiB, ${system}`,
    versions: named.map(([name, number]) => `${name} ${number}`).join(', '),
  });
  const path = join(resultsRoot, preset === 'laptop' ? 'README.md' : `README-${preset}.md`);
  await writeFileAtomic(path, text);
  progress.note(`every claim of the paper: ${path}`);
}

/** The command that repeats a run, without the folders of cache and results. */
export function commandLine(
  experiments: readonly string[],
  options: Omit<RunOptions, 'experiment' | 'json' | 'dryRun'>,
): string {
  const { preset, checkpoint, key, ignore, engine, int8, seed, seeds, trainImages, testImages, set, logImages } =
    options;
  const images = { 'train-images': trainImages, 'test-images': testImages };
  const named = { preset, checkpoint, key, ignore, engine, seed, seeds, ...images };
  const given = Object.entries(named).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, `${value}`],
  );
  if (int8) given.push('--int8');
  if (logImages) given.push('--log-images');
  const words = ['dgate', 'run', ...experiments, ...given, ...set.flatMap((setting) => ['--set', setting])];
  return words.map(shellWord).join(' ');
}

/** Names or files of the requested experiments, each once. */
export async function namesOf(experiment: readonly string[]): Promise<readonly string[]> {
  const all = experiment.includes('all') ? await experimentNames() : [];
  return [...new Set(experiment.flatMap((name) => (name === 'all' ? all : name)))];
}

/** Experiments with `--set`, then other overrides, by their names on the command line. @throws InputError with all problems at once */
export async function resolveAll(
  named: readonly string[],
  { preset, set }: Pick<RunOptions, 'preset' | 'set'>,
  overrides: readonly Override[],
): Promise<{ readonly name: string; readonly experiment: Experiment }[]> {
  const settings = [...set.map(parseSetting), ...overrides];
  const problems: string[] = [];
  const experiments = [];
  for (const name of await namesOf(named)) {
    let resolved: Experiment | undefined;
    try {
      const { exported, where } = await loadDefinition(name);
      resolved = resolveExperiment(exported, where, preset, settings, paperExperiments);
      engineNamed(resolved.engine);
      const experiment = await withFoundPlaces(resolved);
      await plan(experiment);
      experiments.push({ name, experiment });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      // Problems of a resolved definition, and those of a file of scores, may lack its name.
      const isNamed = (text: string): boolean => resolved === undefined || text.startsWith(`${resolve(name)}: `);
      problems.push(...error.problems.map((text) => (isNamed(text) ? text : `${name}: ${text}`)));
    }
  }
  if (problems.length > 0) throw new InputError(problems);
  return experiments;
}
