import { asSystemProblem } from '../errors.js';
import { jsonText, visibleLines } from '../escape.js';
import { version } from '../project.js';

/** Results, on stdout: text of one or more lines; a missing last line break is added. */
export function print(text: string): void {
  process.stdout.write(visibleLines(text.endsWith('\n') ? text : `${text}\n`));
}

/** Results of `--json`, on stdout. */
export function printJson(document: unknown): void {
  process.stdout.write(`${jsonText(document)}\n`);
}

/** All other output, on stderr: progress, warnings, errors. */
export function say(text: string): void {
  process.stderr.write(`${visibleLines(text)}\n`);
}

/**
 * Reports an error on stderr: bad input and errors of the operating system in one line for each problem; anything else
 * is a defect of dgate, reported with its stack.
 *
 * @param where the place of the error, a prefix of each line: `table1: `
 * @returns the exit status: 2 bad input, 1 anything else
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
