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

/** The code of an operating-system error (`ENOENT`); undefined if it is not one. */
export function systemCode(error: unknown): string | undefined {
  const own = error instanceof InputError ? error.cause : error;
  const code = own instanceof Error && 'code' in own ? own.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * What the file system says of a path; undefined if there is nothing. Every other error is thrown: a process that may open no
 * more files, or may not look into a folder, does not know that the folder is empty.
 *
 * @throws InputError
 */
export async function ifThere<T>(path: string, look: Promise<T>): Promise<T | undefined> {
  try {
    return await look;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw asSystemProblem(error, path) ?? error;
  }
}

/** Whether this error says that there is no such file. */
export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '');
}

/** What to do about an error of the operating system, by its code. */
const advice: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: make space, then run the same command again; it goes on where it stopped',
  EDQUOT: 'the disk quota is used up: make space, then run the same command again',
  EFBIG: 'larger than this process may write: raise the limit (ulimit -f), then run the same command again',
  EACCES: 'permission denied: choose another folder (--cache, --results) or change its permissions',
  EPERM: 'operation not permitted: choose another folder (--cache, --results)',
  EROFS: 'the file system is read-only: choose another folder (--cache, --results)',
  ENOENT: 'no such file or folder, and none can be made here: choose another path',
  ENOTDIR: 'a part of this path is a file, not a folder: choose another folder (--cache, --results)',
  EISDIR: 'this is a folder, not a file',
  ELOOP: 'its links lead in a circle: choose another path',
  EIO: 'the disk reports an error: check it, or choose another folder (--cache, --results)',
  ENAMETOOLONG: 'the path is too long: choose another folder (--cache, --results)',
  EEXIST: 'a file stands where a folder is needed: choose another folder (--cache, --results)',
  EMFILE: 'this process may open no more files: raise the limit (ulimit -n), then run the same command again',
  ENFILE: 'the machine can open no more files: end other programs, then run the same command again',
  EAGAIN: 'the machine gives no more processes or threads: raise the limit (ulimit -u), or end other programs',
  ENOMEM: 'no memory is left: raise the limit (ulimit -v), or use a machine with more',
  EPIPE: 'what reads from it has ended: run the same command again',
  ESTALE: 'the network file system no longer knows this file: run the same command again',
};

/** What a runtime says where it gets no more memory: a limit on the process, or all of the machine's is used. */
const outOfMemory = /out of memory|allocation failed|could not allocate memory|cannot allocate|bad[_ ]alloc/i;

/**
 * An error of the operating system, or of a process without memory, as one line: where, what, what to do.
 *
 * @param path what it is about, where the error itself does not say; its own path comes first otherwise
 * @returns undefined if the error is a defect of the program
 */
export function asSystemProblem(error: unknown, path?: string): InputError | undefined {
  if (error instanceof InputError) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, path: own } = error as NodeJS.ErrnoException;
  if (syscall === 'uv_cwd') {
    return new InputError('the working folder was removed; valid: a folder that is there (cd)', { cause: error });
  }
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) {
    const where = path ?? own ?? syscall;
    return new InputError(`${where === undefined ? '' : `${where}: `}${advice[code] ?? error.message}`, {
      cause: error,
    });
  }
  if (!outOfMemory.test(error.message)) return undefined;
  const what = 'no memory is left for this process: raise its limit (ulimit -v), or use a machine with more';
  return new InputError(`${what} (${error.message})`, { cause: error });
}
