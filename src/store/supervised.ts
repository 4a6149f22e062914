import { writeSync } from 'node:fs';
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
export function tellSupervisor(told: unknown): void {
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
