import { jsonText, visibleLines } from '../escape.js';

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
