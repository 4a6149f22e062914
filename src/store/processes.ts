import { readFileSync, readlinkSync, rmSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { Worker } from 'node:worker_threads';
import { systemCode } from '../errors.js';
import { sha256 } from '../json.js';

/** Environment variable with the process id of a command's supervisor. */
export const SUPERVISOR = 'DGATE_SUPERVISOR';
/** File descriptor of a command's notices to its supervisor. */
export const CHANNEL = 3;

/** Signals that end a command in order: Ctrl-C, `kill`, and a terminal or connection that closes. */
export const interruptions = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type Interruption = (typeof interruptions)[number];

/** The supervisor of this process (`src/cli/supervisor.ts`); undefined if it has none. */
export const supervisorId = claim();

function claim(): number | undefined {
  const id = process.env[SUPERVISOR];
  delete process.env[SUPERVISOR]; // not for its children
  return id === undefined ? undefined : Number(id);
}

/** Notifies the supervisor, synchronously: it knows before the next operation. */
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

/** Ends this process after its parent, or orphaned work would keep its locks. A thread checks, even while this one is busy. */
export function endWithParent(parent: number): void {
  const look = `const { platform, kill } = process;
  const isThere = () => {
    if (platform !== 'win32') return process.ppid === ${parent};
    try { return kill(${parent}, 0); } catch { return false; }
  };
  setInterval(() => isThere() || kill(process.pid, 'SIGKILL'), ${LOOK_MS});`;
  new Worker(look, { eval: true, execArgv: [] }).unref();
}

/** A temporary file or folder will be made, it is gone, or the message for an interruption. */
export type CleanupNotice =
  | { readonly made: number; readonly path: string; readonly text?: string | undefined }
  | { readonly gone: number }
  | { readonly message: string | null };

/** Temporary files and the message of an interrupted process, known to the process and its supervisor. */
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
    return this.#message ?? 'interrupted; run the same command again to resume';
  }

  remove(): void {
    for (const { path, text } of this.#paths.values()) {
      try {
        if (text === undefined || readFileSync(path, 'utf8') === text) rmSync(path, { recursive: true, force: true });
      } catch {
        // The process is ending, and the next run sweeps.
      }
    }
  }
}

const current = new PendingCleanup();
let last = process.pid * 2 ** 20; // unique among processes with the same supervisor

function tell(told: CleanupNotice): void {
  current.receive(told);
  tellSupervisor(told);
}

/**
 * Removes a file or folder when the process ends, even if it is killed, unless it no longer holds `text` (another process has
 * written it). Call it before the file is made. @returns a function that cancels the removal
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

export function interruptionMessage(): string {
  return current.message;
}

/** Removes temporary files; for `process.on('exit')`. */
export function removeTemporaryFiles(): void {
  current.remove();
}

/** Identifies a process across machines and restarts. */
export interface ProcessName {
  readonly host: string;
  /** Hash of host, boot and process namespace, within which process ids are valid. */
  readonly machine: string;
  readonly pid: number;
  /** Kernel's start time, because process ids are reused; empty if unknown. */
  readonly started: string;
}

let own: ProcessName | undefined;

/** This process's supervisor, which a user sees and signals, or this process if it has none. */
export function thisProcess(): ProcessName {
  const pid = supervisorId ?? process.pid;
  own ??= { host: hostname(), machine: machineName(), pid, started: startOf(pid) ?? '' };
  return own;
}

/** Whether a process has certainly ended: it ran on this machine and no longer does. */
export function hasEnded({ machine, pid, started }: Pick<ProcessName, 'machine' | 'pid' | 'started'>): boolean {
  if (machine !== thisProcess().machine) return false;
  if (!isRunning(pid)) return true;
  const now = startOf(pid);
  return started !== '' && now !== undefined && now !== started;
}

function machineName(): string {
  const read = (path: string): string => {
    try {
      return path.includes('/ns/') ? readlinkSync(path) : readFileSync(path, 'utf8');
    } catch (error) {
      if (/^E[MN]FILE$/.test(systemCode(error) ?? '')) throw error; // the name would differ later
      return ''; // not Linux
    }
  };
  const parts = [hostname(), read('/proc/sys/kernel/random/boot_id'), read('/proc/self/ns/pid')];
  return sha256(parts.join('\n')).slice(0, 12);
}

/** Whether a process is running on this machine, under any user. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return systemCode(error) === 'EPERM';
  }
}

/** Start of a process in clock ticks since boot; `ended` for a zombie; undefined if unknown. */
function startOf(pid: number): string | undefined {
  try {
    // After the command, in parentheses, come the state (field 3) and the start (field 22).
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? 'ended' : fields[19];
  } catch {
    return undefined;
  }
}
