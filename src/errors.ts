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
    const list = typeof problems === 'string' ? [problems] : problems;
    super(list.join('\n'), options);
    this.problems = list;
  }
}

/** Message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
