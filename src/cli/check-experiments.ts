import { basename, join, resolve } from 'node:path';
import { perSeed } from '../batch/grid.js';
import {
  givenThresholds,
  type Measure,
  type Moved,
  measure,
  readBaseline,
  renderBaseline,
  whatMoved,
} from '../check/measure.js';
import { InputError } from '../errors.js';
import { markupText, visible } from '../escape.js';
import { experimentNames } from '../experiment/load.js';
import { counted } from '../json.js';
import { renderColumns } from '../report/findings.js';
import { namesIn, writeFileAtomic } from '../store/files.js';
import { openContext } from './context.js';
import { type CheckOptions, optionOverrides } from './options.js';
import { print, printJson } from './output.js';
import { resolveAll } from './run-experiments.js';

/** `dgate check`: all definitions and baselines are read before the first one runs. */
export async function checkExperiments(options: CheckOptions): Promise<void> {
  const folder = resolve(options.baseline ?? join(options.results ?? 'results', 'baseline'));
  const names = options.experiment?.length ? options.experiment : await namesWithBaseline(folder);
  const resolved = await resolveAll(names, options, optionOverrides(options));
  const baselines = await readAll(resolved, folder, options.update);
  const context = await openContext(options);

  const checked: Checked[] = [];
  for (const { name, experiment, path, baseline } of baselines) {
    const began = performance.now();
    // An update chooses and stores new thresholds.
    const measures = await measure(context, experiment, options.update ? undefined : givenThresholds(baseline ?? []));
    const isNew = baseline === undefined;
    const moved = isNew ? [] : whatMoved(baseline, measures);
    const seconds = (performance.now() - began) / 1000;
    const result: Checked = { experiment: experiment.name, path, isNew, measures, moved, seconds };
    checked.push(result);
    if (options.update) await writeFileAtomic(path, renderBaseline(measures));
    if (!options.json) print(describe(result, options, name));
  }
  if (options.junit !== undefined) await writeFileAtomic(resolve(options.junit), renderJunit(checked));
  const documents = checked.map((result) => {
    const { experiment, moved } = result;
    const state = isRegression(result) ? 'moved' : 'same';
    return { experiment, state, compared: comparedNumbers(result).length, moved };
  });
  if (options.json) printJson(documents);
  if (!options.update && checked.some(isRegression)) process.exitCode = 1;
}

/** The project's experiments that have a baseline. */
async function namesWithBaseline(folder: string): Promise<string[]> {
  const files = await namesIn(folder);
  const known = await experimentNames();
  const names = files.map((file) => basename(file, '.csv')).filter((name) => known.includes(name));
  if (names.length === 0) {
    throw new InputError(`${folder}: no baseline of any experiment; valid: dgate check EXPERIMENT --update makes one`);
  }
  return names.sort();
}

/** Experiments with their baselines, undefined before the first update. @throws InputError with all missing or damaged ones */
async function readAll(resolved: Awaited<ReturnType<typeof resolveAll>>, folder: string, update: boolean) {
  const found = [];
  const problems: string[] = [];
  for (const { name, experiment: several } of resolved) {
    const experiment = perSeed(several)[0]!;
    const path = join(folder, `${experiment.name}.csv`);
    try {
      const baseline = await readBaseline(path);
      if (baseline === undefined && !update) {
        problems.push(`${path}: no such file; valid: dgate check ... --update makes it`);
      }
      found.push({ name, experiment, path, baseline });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      if (update) found.push({ name, experiment, path, baseline: undefined });
      else problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new InputError(problems);
  return found;
}

const isRegression = ({ moved }: Checked): boolean => moved.some((one) => one.isRegression);

function describe(result: Checked, { update, preset }: CheckOptions, name: string): string {
  const { experiment, path, isNew, seconds, moved } = result;
  const count = comparedNumbers(result).length;
  const about = visible(`${experiment} [preset ${preset}]`);
  const time = `${seconds.toFixed(1)} s`;
  if (isNew) return `${about}: ${count} numbers written to ${path} (${time})`;
  if (!isRegression(result)) {
    return `${about}: all ${count} numbers as in ${path}${update ? ', replaced' : ''} (${time})`;
  }
  const regressions = moved.filter((one) => one.isRegression).length;
  const after = update ? `written to ${path}` : `if this change is expected: dgate check ${name} --update`;
  return [
    `${about}: ${regressions} of ${count} numbers moved (${time}); ${after}`,
    renderColumns(['What', 'Quantity', 'From', 'To', 'Moved by', 'Allowed'], moved.map(cells), 'text'),
  ].join('\n');
}

function cells({ item, quantity, from, to, difference, tolerance, isRegression: counts }: Moved): string[] {
  const by =
    difference === undefined ? '' : `${difference > 0 ? '+' : ''}${short(difference)}${share(difference, from)}`;
  return [item, quantity, short(from), short(to), by, counts ? allowed(tolerance) : 'explains only'];
}

const allowed = (tolerance: Moved['tolerance']): string =>
  tolerance === 0 || typeof tolerance !== 'number' ? 'nothing' : `±${short(tolerance)}`;

function share(difference: number, from: number | string | undefined): string {
  if (typeof from !== 'number' || from === 0) return '';
  const percent = (100 * difference) / Math.abs(from);
  return ` (${percent > 0 ? '+' : ''}${+percent.toPrecision(3)} %)`;
}

/** A value with a few digits; files have all. */
function short(value: number | string | undefined): string {
  if (value === undefined) return 'missing';
  if (typeof value === 'number') return Number.isInteger(value) ? counted(value) : String(+value.toPrecision(6));
  return /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : value;
}

const comparedNumbers = ({ measures }: Checked): Measure[] =>
  measures.filter(({ tolerance }) => typeof tolerance === 'number');

interface Checked {
  readonly experiment: string;
  /** The baseline's. */
  readonly path: string;
  readonly isNew: boolean;
  readonly measures: readonly Measure[];
  readonly moved: readonly Moved[];
  readonly seconds: number;
}

/** A JUnit report for Jenkins and GitLab: a suite per experiment, a case per number. */
export function renderJunit(checked: readonly Checked[]): string {
  const suites = checked.map((result) => {
    const { experiment, moved, seconds } = result;
    const name = markupText(experiment);
    const failed = moved.filter(({ isRegression }) => isRegression);
    const same = comparedNumbers(result).filter(
      (one) => !failed.some(({ item, quantity }) => item === one.item && quantity === one.quantity),
    );
    const open = (item: string, quantity: string): string =>
      `<testcase classname="dgate.${name}" name="${markupText(`${item}: ${quantity}`)}" time="0"`;
    const cases = [
      ...failed.map((one) => {
        const { item, quantity, from = 'missing', to = 'missing', tolerance } = one;
        const message = `from ${from} to ${to}, allowed ${typeof tolerance === 'number' ? tolerance : 0}`;
        return `    ${open(item, quantity)}><failure message="${markupText(message)}"/></testcase>`;
      }),
      ...same.map(({ item, quantity }) => `    ${open(item, quantity)}/>`),
    ];
    const counts = `tests="${cases.length}" failures="${failed.length}" errors="0" time="${seconds.toFixed(3)}"`;
    return [`  <testsuite name="dgate check ${name}" ${counts}>`, ...cases, '  </testsuite>'].join('\n');
  });
  return ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites>', ...suites, '</testsuites>', ''].join('\n');
}
