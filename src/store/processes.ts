import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { systemCode } from '../errors.js';
import { supervisorId } from './supervised.js';
import { sha256 } from './text.js';

/** Identifies a process among all that may share a cache, across machines and restarts. */
export interface ProcessName {
  readonly host: string;
  /** Hash of host, boot and process namespace: process ids are valid only within these. */
  readonly machine: string;
  readonly pid: number;
  /** Start time from the kernel, because process ids are reused. Empty if the system does not report it. */
  readonly started: string;
}

let own: ProcessName | undefined;

/** This process or, if it has one, its supervisor: the process that a user sees, signals and kills. */
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
      if (/^E[MN]FILE$/.test(systemCode(error) ?? '')) throw error; // later, there would be another name
      return ''; // not Linux: the host's name is enough
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
    // The command, in parentheses, may hold anything; after it come the state (field 3) and the start (field 22).
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[0] === 'Z' ? 'ended' : fields[19];
  } catch {
    return undefined;
  }
}
