import { join } from 'node:path';
import {
  type CombinationResult,
  finishedRun,
  type Grid,
  gridFolder,
  labelOf,
  mergeDocuments,
  perSeed,
  renderGrid,
  writeGrid,
} from '../batch/grid.js';

import { InputError, messageOf } from '../errors.js';
import { type Override, parseSetting } from '../experiment/resolve.js';
import type { Experiment } from '../experiment/schema.js';
import type { Progress } from '../progress.js';
import type { AnalysisContext } from '../run/stages.js';
import { writeFileAtomic } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { openContext } from './context.js';
import type { RunOptions } from './options.js';
import { print, printJson, reportFailure, versioned } from './output.js';
import { commandLine, namesOf, resolveAll, runSeed } from './run-experiments.js';

/** One combination of a grid: an experiment, and the settings that differ between combinations. */
interface PlannedCombination {
  readonly settings: Readonly<Record<string, string>>;
  readonly experiment: Experiment;
}

/** The combinations of one experiment. */
interface PlannedGrid {
  /** The name on the command line. */
  readonly name: string;
  readonly cells: readonly PlannedCombination[];
}

/** Every experiment in every combination, each once and checked. @throws InputError with all problems at once */
export async function planGrids(options: RunOptions, overrides: readonly Override[]): Promise<PlannedGrid[]> {
  const all = combinations(options.set);
  const names = await namesOf(options.experiment);
  const cells: PlannedCombination[][] = names.map(() => []);
  for (const combination of all) {
    const experiments = await resolveAll(options.experiment, options.preset, [...combination.settings, ...overrides]);
    const settings = variedSettings(all, combination);
    experiments.forEach((experiment, i) => {
      cells[i]!.push({ experiment, settings });
    });
  }
  return names.map((name, i) => ({ name, cells: cells[i]! }));
}

/**
 * `dgate run --set path=value,value`: every definition is checked before the first one runs. A failing combination
 * leaves a log, does not stop the others and makes the exit status 1; a finished one is not run again.
 */
export async function runGrids(options: RunOptions, overrides: readonly Override[]): Promise<void> {
  const planned = await planGrids(options, overrides);
  const context = await openContext(options);
  await ensureFolder(context.resultsRoot);
  const grids: Grid[] = [];
  for (const { name, cells } of planned) grids.push(await runGrid(context, name, cells, options));
  if (options.json) {
    const documents = grids.map(({ command: _, ...grid }) => grid);
    printJson(documents.length === 1 ? documents[0] : documents.map(versioned));
  }
  if (grids.some((grid) => grid.combinations.some(({ state }) => state === 'failed'))) process.exitCode = 1;
}

async function runGrid(
  context: AnalysisContext,
  name: string,
  cells: readonly PlannedCombination[],
  options: RunOptions,
): Promise<Grid> {
  const { preset } = options;
  const { name: experiment, title } = cells[0]!.experiment;
  const folder = gridFolder({ experiment, preset }, cells, context.resultsRoot);
  const results: CombinationResult[] = [];
  for (const [i, cell] of cells.entries()) {
    context.progress.note(`combination ${i + 1} of ${cells.length}: ${labelOf(cell.settings)}`);
    const command = commandLine([name], { ...options, set: settingsOf(options.set, cell) });
    results.push(await runCombination(context, cell, { command, log: join(folder, `failed-${i + 1}.log`), options }));
  }
  const grid: Grid = { experiment, title, preset, command: commandLine([name], options), combinations: results };
  await writeGrid(grid, folder, context.resultsRoot);
  if (!options.json) print(() => renderGrid(grid));
  context.progress.note(`written to ${folder}: grid.csv, grid.txt, record.json`);
  return grid;
}

/** The `--set`s of one combination. */
export function settingsOf(set: readonly string[], { settings }: PlannedCombination): string[] {
  return set.map((setting) => {
    const path = setting.slice(0, setting.indexOf('='));
    return path in settings ? `${path}=${settings[path]}` : setting;
  });
}

interface CombinationOptions {
  readonly command: string;
  /** The file for its log if it fails. */
  readonly log: string;
  readonly options: RunOptions;
}

/** Runs all seeds of a combination; finished ones are read from their folders. */
async function runCombination(
  context: AnalysisContext,
  { experiment, settings }: PlannedCombination,
  { command, log, options }: CombinationOptions,
): Promise<CombinationResult> {
  const said: string[] = [`${command}`];
  const logged: AnalysisContext = { ...context, progress: recorded(context.progress, said) };
  try {
    const runs = [];
    for (const one of perSeed(experiment)) {
      const before = await finishedRun(logged, one, options.preset);
      if (before !== undefined)
        logged.progress.note(`seed ${one.seed}: finished before, not run again: ${before.folder}`);
      runs.push(before ?? (await runSeed(logged, { experiment: one, command }, { ...options, quiet: true })));
    }
    const document = mergeDocuments(runs.map((run) => run.document));
    return { settings, state: 'done', document, folders: runs.map((run) => run.folder) };
  } catch (error) {
    reportFailure(error, `${labelOf(settings)}: `);
    said.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    await writeFileAtomic(log, `${said.join('\n')}\n`);
    return { settings, state: 'failed', problem: messageOf(error).split('\n')[0]!, log };
  }
}

/** Progress that also records its lines for the log. */
function recorded(progress: Progress, said: string[]): Progress {
  const keep = (message: string): void => {
    said.push(`${new Date().toISOString()} ${message}`);
  };
  return {
    note: (message) => {
      keep(message);
      progress.note(message);
    },
    warn: (message) => {
      keep(`warning: ${message}`);
      progress.warn(message);
    },
    begin: (label, total, unit) => {
      keep(`${label}: began`);
      const task = progress.begin(label, total, unit);
      return {
        update: (done, detail) => task.update(done, detail),
        end: (message) => {
          keep(message ?? `${label}: done`);
          task.end(message);
        },
      };
    },
  };
}

/** One `--set`: a path and its values, one for each combination. */
interface Axis {
  readonly path: string;
  readonly values: readonly unknown[];
}

/** The values of all axes that vary, in one combination. */
interface Combination {
  /** One for each axis, in the order of the command line. */
  readonly settings: readonly Override[];
  /** `gates.loss=hinge, gates.epochs=5`: the axes that vary. */
  readonly label: string;
}

/**
 * `gates.loss=hinge,cross-entropy` as two values. Commas inside brackets, braces and quotes do not separate values:
 * `thresholds.margins=[0.01,0.02]` is one list and `title="a, b"` one text.
 *
 * @throws InputError
 */
export function parseAxis(setting: string): Axis {
  const [, path, text] = /^([A-Za-z][\w.]*)=(.*)$/s.exec(setting) ?? [];
  if (path === undefined || text === undefined) return { path: '', values: [parseSetting(setting)] }; // throws
  const parts = splitAtCommas(text);
  if (parts.length > 1 && parts.some((part) => part.trim() === '')) {
    throw new InputError(`--set ${setting}: an empty value between commas; valid: path=value or path=value,value`);
  }
  return { path, values: parts.map((part) => parseSetting(`${path}=${part}`).value) };
}

function splitAtCommas(text: string): string[] {
  const parts = [''];
  let depth = 0;
  let quoted = false;
  for (const [i, letter] of [...text].entries()) {
    if (letter === '"' && text[i - 1] !== '\\') quoted = !quoted;
    if (!quoted && '[{'.includes(letter)) depth++;
    if (!quoted && ']}'.includes(letter)) depth--;
    if (letter === ',' && depth === 0 && !quoted) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts;
}

/** Whether a command line asks for more than one combination. @throws InputError */
export const isGrid = (set: readonly string[]): boolean => set.some((setting) => parseAxis(setting).values.length > 1);

/** Every combination of the values, each once. @throws InputError where an axis that varies is given twice */
export function combinations(set: readonly string[]): Combination[] {
  const axes = set.map(parseAxis);
  const paths = axes.map(({ path }) => path);
  const twice = axes.find(({ path, values }) => values.length > 1 && paths.indexOf(path) !== paths.lastIndexOf(path));
  if (twice !== undefined) throw new InputError(`--set ${twice.path}: given twice; valid: once, with all its values`);
  const all = axes.reduce<Override[][]>(
    (before, { path, values }) =>
      before.flatMap((settings) => distinct(values).map((value) => [...settings, { path, value }])),
    [[]],
  );
  const varied = axes.filter(({ values }) => values.length > 1).map(({ path }) => path);
  return all.map((settings) => {
    const shown = settings.filter(({ path }) => varied.includes(path));
    return { settings, label: shown.map(({ path, value }) => `${path}=${valueText(value)}`).join(', ') };
  });
}

/** The settings of a combination that differ between combinations. */
function variedSettings(all: readonly Combination[], { settings }: Combination): Record<string, string> {
  const others = (index: number, text: string): boolean =>
    all.some((one) => valueText(one.settings[index]!.value) !== text);
  return Object.fromEntries(
    settings.flatMap(({ path, value }, i) => (others(i, valueText(value)) ? [[path, valueText(value)]] : [])),
  );
}

const distinct = (values: readonly unknown[]): unknown[] =>
  values.filter((value, i) => values.findIndex((other) => valueText(other) === valueText(value)) === i);

/** A value as `--set` reads it back. */
function valueText(value: unknown): string {
  if (typeof value === 'string') return /[",]/.test(value) ? JSON.stringify(value) : value;
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
