import { InputError } from '../../errors.js';

/** Ends a set-up with one line: what is wrong and what would change it. @throws InputError */
export function fail(message: string): never {
  throw new InputError(message);
}

/** Sets an engine up; problems are those of its set-up. @throws InputError */
export async function settingUp<T>(engine: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(
      error.problems.map((problem) => `${engine} set-up: ${problem}`),
      { cause: error },
    );
  }
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
