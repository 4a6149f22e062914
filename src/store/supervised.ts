import { readFileSync, rmSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

/** Environment variable with the process id of a command's supervisor. */
export const SUPERVISOR = 'DGATE_SUPERVISOR';
/** File descriptor through which a command tells its supervisor what to remove and report after an interruption. */
export const CHANNEL = 3;

/** The supervisor of this process (`src/cli/supervisor.ts`); undefined if it has none. */
export const supervisorId = claim();

function claim(): number | undefined {
  const id = process.env[SUPERVISOR];
  delete process.env[SUPERVISOR]; // for this process, not for its children
  return id === undefined ? undefined : Number(id);
}

/** Tells the supervisor, if there is one. Synchronous, so that it knows before the next operation. */
function tellSupervisor(told: unknown): void {
  if (supervisorId === undefined) return;
  try {
    writeSync(CHANNEL, `${JSON.stringify(told)}\n`);
  } catch {
    process.kill(process.pid, 'SIGKILL'); // the supervisor has ended
  }
}

/** Interval at which a process checks its parent. */
const LOOK_MS = 250;

/**
 * Ends this process when its parent has ended. A separate thread checks, so it works while this process is busy. Otherwise
 * orphaned work would continue and hold its locks.
 */
export function endWithParent(parent: number): void {
  const look = `const { platform, kill } = process;
  const isThere = () => {
    if (platform !== 'win32') return process.ppid === ${parent};
    try { return kill(${parent}, 0); } catch { return false; }
  };
  setInterval(() => isThere() || kill(process.pid, 'SIGKILL'), ${LOOK_MS});`;
  new Worker(look, { eval: true, execArgv: [] }).unref();
}

/** A notice: a file or folder that must not outlive its process was made, it is gone, or the message for an interruption. */
export type CleanupNotice =
  | { readonly made: number; readonly path: string; readonly text?: string | undefined }
  | { readonly gone: number }
  | { readonly message: string | null };

/** Files that an interrupted process leaves, and its message. The process and its supervisor each hold one. */
export class PendingCleanup {
  readonly #paths = new Map<number, Extract<CleanupNotice, { path: string }>>();
  #message: string | null = null;

  receive(told: CleanupNotice): void {
    if ('made' in told) this.#paths.set(told.made, told);
    else if ('gone' in told) this.#paths.delete(told.gone);
    else this.#message = told.message;
  }

  /** The message for an interruption. */
  get message(): string {
    return this.#message ?? 'interrupted; run the same command again and it goes on where it stopped';
  }

  remove(): void {
    for (const { path, text } of this.#paths.values()) {
      try {
        if (text === undefined || readFileSync(path, 'utf8') === text) rmSync(path, { recursive: true, force: true });
      } catch {
        // The process is ending: the error cannot be reported, and the next run sweeps.
      }
    }
  }
}

const current = new PendingCleanup();
let last = process.pid * 2 ** 20; // a process that this one starts may report to the same supervisor

function tell(told: CleanupNotice): void {
  current.receive(told);
  tellSupervisor(told);
}

/**
 * Removes a file or folder when the process ends, however it ends. Call it before the file is made, so that the file is
 * never unknown.
 *
 * @param text the file's content, if another process may put a file in the same place: that one stays
 * @returns a function that cancels the removal
 */
export function removeOnExit(path: string, text?: string): () => void {
  const id = ++last;
  tell({ made: id, path, text });
  return () => tell({ gone: id });
}

/** Replaces the message for an interruption; null restores the general one. */
export function sayWhenInterrupted(message: string | null): void {
  tell({ message });
}

/** The message for an interruption of this process. */
export function interruptionMessage(): string {
  return current.message;
}

/** Removes files that an exit in the middle of work would leave behind; for `process.on('exit')`. */
export function removeTemporaryFiles(): void {
  current.remove();
}
