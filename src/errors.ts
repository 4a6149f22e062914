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

/**
 * What a terminal takes for a command instead of a letter: control characters (C0, C1), line and paragraph separators,
 * and those that turn the direction of writing.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** Names from files of others stand in messages: what is not a letter is written as JavaScript would, `\\u001b`. */
function oneLine(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
  const escaped = cut.replace(controls, (found) => {
    return found === '\n' ? '\\n' : `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
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
