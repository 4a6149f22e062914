import { join } from 'node:path';
import {
  type CombinationResult,
  combined,
  finishedRun,
  type Grid,
  gridFolder,
  labelOf,
  type PlannedCombination,
  perSeed,
  renderGrid,
  writeGrid,
} from '../batch/grid.js';
import { listAt } from '../csv.js';
import { InputError, messageOf } from '../errors.js';
import { type Override, parseSetting } from '../experiment/resolve.js';
import type { Progress } from '../progress.js';
import type { AnalysisContext } from '../run/stages.js';
import { writeFileAtomic } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { openContext } from './context.js';
import { dryRun } from './estimates.js';
import type { RunOptions } from './options.js';
import { print, printJson, reportFailure, versioned } from './output.js';
import { commandLine, resolveAll, runSeed } from './run-experiments.js';

/** Combinations of each experiment by its name on the command line, checked. @throws InputError with all problems at once */
export async function planGrids(options: RunOptions, overrides: readonly Override[]) {
  const { preset, experiment: names } = options;
  const grids = new Map<string, PlannedCombination[]>();
  for (const { settings, varied } of combinations(options.set)) {
    const resolved = await resolveAll(names, { preset, set: [] }, [...settings, ...overrides]);
    for (const { name, experiment } of resolved) listAt(grids, name).push({ experiment, settings: varied });
  }
  return [...grids].map(([name, cells]) => ({ name, cells }));
}

/** `dgate run --dry-run` */
export async function planOnly(options: RunOptions, overrides: readonly Override[]): Promise<void> {
  const context = await openContext(options);
  const planned = (await planGrids(options, overrides)).flatMap(({ cells }) => cells);
  await dryRun(context, planned, options.json);
}

/**
 * `dgate run --set path=value,value`: all definitions are checked before the first one runs. A failing combination leaves
 * a log, does not stop the others and makes the exit status 1; a finished one is not run again.
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
    results.push(await runCombination(context, cell, command, join(folder, `failed-${i + 1}.log`), options));
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

/** Runs all seeds of a combination; finished ones are read from their folders. @param log its file if it fails */
async function runCombination(
  context: AnalysisContext,
  { experiment, settings }: PlannedCombination,
  command: string,
  log: string,
  options: RunOptions,
): Promise<CombinationResult> {
  const lines: string[] = [command];
  const logged: AnalysisContext = { ...context, progress: recorded(context.progress, lines) };
  try {
    const runs = [];
    for (const one of perSeed(experiment)) {
      const before = await finishedRun(logged, one, options.preset);
      if (before !== undefined) {
        logged.progress.note(`seed ${one.seed}: finished before, not run again: ${before.folder}`);
      }
      runs.push(before ?? (await runSeed(logged, { experiment: one, command }, { ...options, json: true })));
    }
    return combined(settings, runs);
  } catch (error) {
    reportFailure(error, `${labelOf(settings)}: `);
    lines.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    await writeFileAtomic(log, `${lines.join('\n')}\n`);
    return { settings, state: 'failed', problem: messageOf(error).split('\n')[0]!, log };
  }
}

function recorded(progress: Progress, lines: string[]): Progress {
  const keep = (message: string): void => void lines.push(`${new Date().toISOString()} ${message}`);
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
      const end = (message?: string): void => {
        keep(message ?? `${label}: done`);
        task.end(message);
      };
      return { update: (...standing) => task.update(...standing), end };
    },
  };
}

/**
 * The path and values of one `--set`: `gates.loss=hinge,cross-entropy` has two. Commas inside brackets, braces and quotes do
 * not separate values: `thresholds.margins=[0.01,0.02]` is one list and `title="a, b"` one text. @throws InputError
 */
export function parseAxis(setting: string): { readonly path: string; readonly values: readonly unknown[] } {
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

/** Whether a command line requests several combinations. @throws InputError */
export const isGrid = (set: readonly string[]): boolean => set.some((setting) => parseAxis(setting).values.length > 1);

/** All combinations of the values; `varied` has the axes with several. @throws InputError if such an axis is given twice */
export function combinations(set: readonly string[]) {
  const axes = set.map(parseAxis);
  const paths = axes.map(({ path }) => path);
  const twice = axes.find(({ path, values }) => values.length > 1 && paths.indexOf(path) !== paths.lastIndexOf(path));
  if (twice !== undefined) throw new InputError(`--set ${twice.path}: given twice; valid: once, with all its values`);
  const distinct = axes.map(({ path, values }) => {
    return { path, values: [...new Map(values.map((value) => [valueText(value), value])).values()] };
  });
  const several = distinct.filter(({ values }) => values.length > 1).map(({ path }) => path);
  const all = distinct.reduce<Override[][]>(
    (before, { path, values }) => before.flatMap((settings) => values.map((value) => [...settings, { path, value }])),
    [[]],
  );
  return all.map((settings) => {
    const shown = settings.filter(({ path }) => several.includes(path));
    const varied: Readonly<Record<string, string>> = Object.fromEntries(
      shown.map(({ path, value }) => [path, valueText(value)]),
    );
    return { settings, varied };
  });
}

/** A value as `--set` reads it back. */
function valueText(value: unknown): string {
  if (typeof value === 'string') return /[",]/.test(value) ? JSON.stringify(value) : value;
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}
