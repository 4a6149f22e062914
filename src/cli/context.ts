import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ora, { type Ora } from 'ora';
import { visible } from '../escape.js';
import { counted } from '../json.js';
import { paperAnalyses } from '../paper/index.js';
import type { Progress, ProgressTask } from '../progress.js';
import { projectRoot } from '../project.js';
import { contextIn } from '../run/context.js';
import type { AnalysisContext } from '../run/stages.js';
import { type CodeModules, changedSince } from '../store/code.js';
import { readJson } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { cacheFolder, type GlobalOptions, resultsFolder } from './command.js';
import { say } from './output.js';

/** Folders and progress of a command, from its options and the environment. @throws InputError */
export async function openContext(options: GlobalOptions): Promise<AnalysisContext> {
  const cache = cacheFolder(options);
  await ensureFolder(cache);
  const progress = consoleProgress();
  const stale = await staleBuild();
  if (stale !== undefined) progress.warn(stale);
  const results = resultsFolder(options);
  const exitTimes: AnalysisContext['exitTimes'] = async (basis) =>
    (await import('../gated/time/files.js')).lastExitTimes(basis, results);
  return { ...contextIn(cache, results, progress), analyses: paperAnalyses, exitTimes };
}

/**
 * A warning if compiled code runs and its sources have changed since `npm run build`. Contents are compared: git and npm
 * write files in any order. Undefined if the sources themselves run, or a package has none.
 */
export async function staleBuild(
  root = fileURLToPath(projectRoot),
  running = fileURLToPath(import.meta.url),
): Promise<string | undefined> {
  const built = join(root, 'dist');
  if (!running.startsWith(built + sep) || !existsSync(join(root, 'src'))) return undefined;
  const changed = changedSince((await readJson(join(built, 'code.json'))) as CodeModules, root);
  if (changed === undefined) return undefined;
  return `dist/ is older than ${changed}: the compiled code lacks that change; run: npm run build`;
}

/** Least time between two lines of progress without a terminal. */
const LOG_INTERVAL_MS = 10_000;
const REDRAW_INTERVAL_MS = 100;
/** Share of the work before which its time left is not said: the first pass of a training is no measure. */
const LEAST_SHARE = 0.002;
/** The pace is measured over this time. */
const PACE_MS = 60_000;

/** Progress on stderr: a spinner on a terminal, otherwise a line every ten seconds. */
export function consoleProgress(now: () => number = () => performance.now()): Progress {
  const interactive = process.stderr.isTTY === true;
  const line = (text: string): void => say(visible(text));
  return {
    note: line,
    warn: (message) => line(`warning: ${message}`),
    begin(label, total, unit): ProgressTask {
      const started = now();
      let shown = started;
      /** Work done at times within the last minute. */
      const marks: [time: number, done: number][] = [[started, 0]];
      // discardStdin would put the terminal into raw mode, in which Ctrl-C is no signal.
      const spinner: Ora | undefined = interactive
        ? ora({ stream: process.stderr, text: visible(label), discardStdin: false }).start()
        : undefined;
      return {
        update(done, detail, expected = total) {
          const time = now();
          if (!spinner && expected > 0 && done >= expected) return; // `end` writes a line at once
          if (time - shown < (spinner ? REDRAW_INTERVAL_MS : LOG_INTERVAL_MS)) return;
          shown = time;
          while (marks.length > 1 && time - marks[1]![0] >= PACE_MS) marks.shift();
          const [from, before] = marks[0]!;
          marks.push([time, done]);
          const describe = (name: string): string =>
            visible(describeProgress(name, done, expected, unit, (time - from) / 1000, detail, before));
          if (spinner)
            spinner.text = fitted(label, describe, (process.stderr.columns ?? 80) - 3); // beside the spinner
          else line(describe(label));
        },
        end(message) {
          spinner?.stop();
          line(`${message ?? label}: done in ${((now() - started) / 1000).toFixed(1)} s`);
        },
      };
    },
  };
}

/** Least number of letters of a label. */
const LEAST_LABEL = 8;

/** A text of at most `columns` columns. The label is cut first: the time left stays visible. */
export function fitted(label: string, describe: (label: string) => string, columns: number): string {
  const over = describe(label).length - columns;
  if (over <= 0) return describe(label);
  const text = describe(`${label.slice(0, Math.max(LEAST_LABEL, label.length - over - 1))}…`);
  return text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
}

/** `features: 2,048 of 10,000 images (20 %), 410 images/s, 19 s left`. @param before work done `seconds` ago */
export function describeProgress(
  label: string,
  done: number,
  total: number,
  unit: string,
  seconds: number,
  detail?: string,
  before = 0,
): string {
  const rate = (done - before) / Math.max(seconds, 1e-9);
  const number = (value: number): string => counted(Math.round(value));
  const speed = `${rate >= 10 ? number(rate) : rate.toPrecision(2)} ${unit}/s`;
  const isKnown = rate > 0 && done >= LEAST_SHARE * total;
  const left = isKnown ? `${duration((total - done) / rate)} left` : 'time left unknown';
  const share = `${label}: ${number(done)} of ${number(total)} ${unit} (${Math.floor((100 * done) / total)} %)`;
  const parts = total > 0 ? [share, speed, left] : [`${label}: ${number(done)} ${unit}`, speed];
  return [...parts, ...(detail === undefined ? [] : [detail])].join(', ');
}

/** `42 s`, `3 min 10 s`, `2 h 5 min` */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
