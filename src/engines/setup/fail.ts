import { InputError } from '../../errors.js';

/** Ends the set-up with one line: what is wrong and what would change it. */
export function fail(message: string): never {
  throw new InputError(`set-up: ${message}`);
}

/** The line of a program's output that says most. */
export function oneLine(text: string, max = 400): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const line = lines.find((candidate) => /\berror\b/i.test(candidate)) ?? lines.at(-1) ?? '';
  return line.length > max ? `${line.slice(0, max)}...` : line;
}

/** Code of a system error, "ENOENT". */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
