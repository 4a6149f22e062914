import { visible } from './escape.js';

/**
 * The one class of error that is the user's to mend: bad usage or bad input.
 *
 * Everything else that is thrown is a defect of dgate or of the machine. `bin/dgate.ts` prints an `InputError` as one
 * line per problem and exits with status 2; any other error ends with status 1 and its stack.
 *
 * A problem says what is wrong, where, and what would be valid: `experiments/mine.ts: gates.epoch: unknown key; valid:
 * epochs, l2, ...`. All problems of one file come in one error.
 */
export class InputError extends Error {
  override readonly name: string = 'InputError';
  /** One line each, never empty. */
  readonly problems: readonly string[];

  constructor(problems: string | readonly string[], options?: ErrorOptions) {
    const list = (typeof problems === 'string' ? [problems] : problems).map(oneLine);
    super(list.join('\n'), options);
    this.problems = list;
  }
}

/** Longest line in characters: a terminal's page. */
const LONGEST = 2000;

/** Names from files of others stand in messages: what is not a letter is written as JavaScript would, `\\u001b`. */
function oneLine(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
  const escaped = visible(cut);
  return escaped.length > LONGEST ? `${escaped.slice(0, LONGEST - 3)}...` : escaped;
}

/** Message of anything that was thrown. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'something that cannot be written as text'; // what a program throws may do anything when it is asked
  }
}
