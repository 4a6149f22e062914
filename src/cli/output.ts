import { jsonText, visibleLines } from '../escape.js';

/** Results, on stdout: text of one or more lines; the last line break is added where it is missing. */
export function print(text: string): void {
  process.stdout.write(visibleLines(text.endsWith('\n') ? text : `${text}\n`));
}

/** Results of `--json`, on stdout. */
export function printJson(document: unknown): void {
  process.stdout.write(`${jsonText(document)}\n`);
}

/** Whatever is not a result, on stderr: progress, warnings, what went wrong. */
export function say(text: string): void {
  process.stderr.write(`${visibleLines(text)}\n`);
}
