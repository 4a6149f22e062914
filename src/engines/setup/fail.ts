import { join } from 'node:path';
import { InputError } from '../../errors.js';
import { describeHolder, Lock } from '../../store/lock.js';
import { systemCode } from '../../system-error.js';

/** Ends a set-up with one line: what is wrong and how to fix it. @throws InputError */
export function fail(message: string): never {
  throw new InputError(message);
}

/** Sets up an engine and names it in every problem. @throws InputError */
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

/**
 * Keeps a second set-up out of a folder. Compilers and pip block this process for minutes, so silence does not mean that
 * the holder is dead.
 *
 * @throws InputError if another set-up is running, or the folder is not writable
 */
export async function lockSetup(folder: string): Promise<Lock> {
  const file = join(folder, '.dgate-setup.lock');
  const lock = await Lock.tryTake(file, Number.POSITIVE_INFINITY).catch((error: Error) => {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(systemCode(error.cause) ?? '')) throw error;
    return fail(`${folder} is not writable; run as the owner of node_modules`);
  });
  return lock ?? fail(`another set-up (${await describeHolder(file)}) is running; wait for it, or remove ${file}`);
}

/** The most informative line of a program's output. */
export function oneLine(text: string, max = 400): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);
  const line = lines.find((candidate) => /\berror\b/i.test(candidate)) ?? lines.at(-1) ?? '';
  return line.length > max ? `${line.slice(0, max)}...` : line;
}
