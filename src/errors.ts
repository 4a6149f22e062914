import { visible } from './escape.js';

/**
 * Bad usage or bad input, for the user to correct; any other error is a defect. `bin/dgate.ts` prints a line per problem and exits
 * with status 2, or with status 1 and the stack of another error.
 *
 * A problem says where, what, and what is valid: `experiments/mine.ts: gates.epoch: unknown key; valid: epochs, l2, ...`. An
 * error holds all problems of a file.
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

/** Problems of one input: keeps a hundred and counts the others, so that no file causes a million messages. */
export class Problems {
  count = 0;
  readonly #listed: string[] = [];

  /** @param rest noun for the others: `more problems` */
  constructor(
    problems: Iterable<string> = [],
    readonly most = 100,
    readonly rest = 'more problems',
  ) {
    for (const problem of problems) this.add(problem);
  }

  add(problem: string): void {
    // One more than the most: the count of others of another list.
    if (this.count++ <= this.most) this.#listed.push(problem);
  }

  /** A line per problem, and one that counts the others. */
  lines(): string[] {
    if (this.count <= this.most + 1) return [...this.#listed];
    return [...this.#listed.slice(0, this.most), `and ${this.count - this.most} ${this.rest}`];
  }

  /** @throws InputError if there are any */
  throwIfAny(): void {
    if (this.count > 0) throw new InputError(this.lines());
  }
}

/** Longest line in characters. */
const LONGEST = 2000;

/** A short line with escaped control characters: messages hold names of any origin. */
function oneLine(text: string): string {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
  const escaped = visible(cut);
  return escaped.length > LONGEST ? `${escaped.slice(0, LONGEST - 3)}...` : escaped;
}

/** Message of any thrown value. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'something that cannot be written as text'; // of a thrown object whose methods throw
  }
}

/** The code of an operating-system error (`ENOENT`). */
export function systemCode(error: unknown): string | undefined {
  const own = error instanceof InputError ? error.cause : error;
  const code = own instanceof Error && 'code' in own ? own.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** The result of looking at a path; undefined if it does not exist. @throws InputError if the file system cannot say (EMFILE, EACCES) */
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

/** Messages of runtimes that get no more memory. */
const outOfMemory = /out of memory|allocation failed|could not allocate memory|cannot allocate|bad[_ ]alloc/i;

/**
 * An error of the operating system, or of a process without memory, as one line: where, what, what to do.
 *
 * @param path replaces the error's own path
 * @returns undefined if the error is a defect of the program
 */
export function asSystemProblem(error: unknown, path?: string): InputError | undefined {
  if (error instanceof InputError) return error;
  if (!(error instanceof Error)) return undefined;
  const { code, syscall, path: own } = error as NodeJS.ErrnoException;
  if (syscall === 'uv_cwd') {
    return new InputError('the working folder was removed; change to another folder (cd)', { cause: error });
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
