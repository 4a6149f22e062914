import ora, { type Ora } from 'ora';
import { visible } from '../escape.js';
import { counted } from '../json.js';
import type { Progress, ProgressTask } from '../progress.js';
import { say } from './output.js';

/** Least time between two lines of progress without a terminal. */
const LOG_INTERVAL_MS = 10_000;
const REDRAW_INTERVAL_MS = 100;
/** The time over which the pace is measured. */
const PACE_MS = 60_000;

/** Progress on stderr: a spinner on a terminal, otherwise a line every ten seconds (logs of batch runs). */
export function consoleProgress(now: () => number = () => performance.now()): Progress {
  const interactive = process.stderr.isTTY === true;
  const line = (text: string): void => say(visible(text));
  return {
    note: line,
    warn: (message) => line(`warning: ${message}`),
    begin(label, total, unit): ProgressTask {
      const started = now();
      let shown = started;
      // When how much was done within the last minute: the pace that tells the time left.
      const marks: [time: number, done: number][] = [[started, 0]];
      // Discarding typed input would put the terminal into raw mode, in which Ctrl-C is a character, not a signal.
      const spinner: Ora | undefined = interactive
        ? ora({ stream: process.stderr, text: visible(label), discardStdin: false }).start()
        : undefined;
      return {
        update(done, detail) {
          const time = now();
          if (!spinner && total > 0 && done >= total) return; // `end` writes a line at once
          if (time - shown < (spinner ? REDRAW_INTERVAL_MS : LOG_INTERVAL_MS)) return;
          shown = time;
          while (marks.length > 1 && time - marks[1]![0] >= PACE_MS) marks.shift();
          const [from, before] = marks[0]!;
          marks.push([time, done]);
          const describe = (name: string): string =>
            visible(describeProgress(name, done, total, unit, (time - from) / 1000, detail, before));
          if (spinner)
            spinner.text = fitted(label, describe, (process.stderr.columns ?? 80) - 3); // beside the spinner
          else line(describe(label));
        },
        end(message) {
          const seconds = ((now() - started) / 1000).toFixed(1);
          spinner?.stop();
          line(`${message ?? label}: done in ${seconds} s`);
        },
      };
    },
  };
}

/** Least of a label that is kept. */
const LEAST_LABEL = 8;

/** A text of at most so many columns: its label is cut first, so that the time left stays. */
export function fitted(label: string, describe: (label: string) => string, columns: number): string {
  const over = describe(label).length - columns;
  if (over <= 0) return describe(label);
  const text = describe(`${label.slice(0, Math.max(LEAST_LABEL, label.length - over - 1))}…`);
  return text.length > columns ? `${text.slice(0, columns - 1)}…` : text;
}

/** `features: 2,048 of 10,000 images (20 %), 410 images/s, 19 s left`. @param before done `seconds` ago: what the pace is measured from */
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
  const speed = rate >= 10 ? number(rate) : rate.toPrecision(2);
  const parts =
    total > 0
      ? [
          `${label}: ${number(done)} of ${number(total)} ${unit} (${Math.floor((100 * done) / total)} %)`,
          `${speed} ${unit}/s`,
          rate > 0 ? `${duration((total - done) / rate)} left` : 'time left unknown',
        ]
      : [`${label}: ${number(done)} ${unit}`, `${speed} ${unit}/s`];
  return [...parts, ...(detail === undefined ? [] : [detail])].join(', ');
}

/** `42 s`, `3 min 10 s`, `2 h 5 min` */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
