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

  constructor(problems: string | Iterable<string>, options?: ErrorOptions) {
    const all = new Problems(typeof problems === 'string' ? [problems] : problems);
    const list = all.lines().map(oneLine);
    super(list.join('\n'), options);
    this.problems = list;
  }
}

/** Problems of one input: a hundred are reported one by one and kept, the others are counted. No file asks for a million messages. */
export class Problems {
  count = 0;
  readonly #listed: string[] = [];

  /** @param rest what more of them are called */
  constructor(
    problems: Iterable<string> = [],
    readonly most = 100,
    readonly rest = 'more problems',
  ) {
    for (const problem of problems) this.add(problem);
  }

  add(problem: string): void {
    // One more than the most: a list that ends in a count of others stays as it is.
    if (this.count++ <= this.most) this.#listed.push(problem);
  }

  /** A line each, and one that counts the others. */
  lines(): string[] {
    if (this.count <= this.most + 1) return [...this.#listed];
    return [...this.#listed.slice(0, this.most), `and ${this.count - this.most} ${this.rest}`];
  }

  /** @throws InputError where there are some */
  throwIfAny(): void {
    if (this.count > 0) throw new InputError(this.lines());
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
