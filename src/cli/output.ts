import { asSystemProblem } from '../errors.js';
import { jsonText, visibleLines } from '../escape.js';
import { withinColumns } from '../progress.js';
import { version } from '../project.js';

let isWide = false;

/** Whether tables have all their columns on any terminal (`--wide`). */
export const setWide = (wide: boolean): void => {
  isWide = wide;
};

/** Results, on stdout, with a last line break. A function renders its tables for the columns of the terminal. */
export function print(of: string | (() => string)): void {
  const room = process.stdout.isTTY && !isWide ? process.stdout.columns : Number.POSITIVE_INFINITY;
  const text = typeof of === 'string' ? of : withinColumns(room, of);
  process.stdout.write(visibleLines(text.endsWith('\n') ? text : `${text}\n`));
}

/** Results of `--json`, on stdout. */
export function printJson(document: unknown): void {
  process.stdout.write(`${jsonText(Array.isArray(document) ? document : versioned(document as object))}\n`);
}

/** Prints a document with `--json`, otherwise the text. */
export function printEither(json: boolean, document: unknown, text: string | (() => string)): void {
  if (json) printJson(document);
  else print(text);
}

/** A document with the version of its form (docs/json.md). A field that changes its meaning or goes increases it. */
export const versioned = <T extends object>(document: T) => ({ version: 1, ...document });

/** All other output, on stderr: progress, warnings, errors. */
export function say(text: string): void {
  process.stderr.write(`${visibleLines(text)}\n`);
}

/**
 * Reports an error on stderr: one line per problem for bad input and errors of the operating system; the stack for
 * anything else, which is a defect. `where` (`table1: `) begins each line. @returns the exit status: 2 bad input, 1 else
 */
export function reportFailure(error: unknown, where = ''): 1 | 2 {
  const known = asSystemProblem(error);
  if (known !== undefined) {
    for (const problem of known.problems) say(`dgate: ${where}${problem}`);
    return 2;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const about = `dgate ${version()}, Node ${process.versions.node}, ${process.platform} ${process.arch}`;
  say(`dgate: ${where}failed: ${text}`);
  say(`dgate: this is a defect; please report these lines and the command to its authors (${about})`);
  return 1;
}
