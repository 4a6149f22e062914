import { InputError } from '../errors.js';

/**
 * Says on stderr what went wrong: bad input a line for each problem, anything else with its stack.
 *
 * @param where what it was found in, said first: `table1: `
 * @returns the exit status: 2 bad input, 1 anything else
 */
export function reportFailure(error: unknown, where = ''): 1 | 2 {
  if (error instanceof InputError) {
    for (const problem of error.problems) process.stderr.write(`dgate: ${where}${problem}\n`);
    return 2;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`dgate: ${where}failed: ${text}\n`);
  return 1;
}
