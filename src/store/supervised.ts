import { writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

/** Says to a command which process watches over it. */
export const SUPERVISOR = 'DGATE_SUPERVISOR';
/** The file descriptor through which a command tells its supervisor what an interruption is to remove and to say. */
export const CHANNEL = 3;

/** The process that watches over this one (`src/cli/supervisor.ts`); undefined where none does. */
export const supervisorId = claim();

function claim(): number | undefined {
  const id = process.env[SUPERVISOR];
  delete process.env[SUPERVISOR]; // for this process alone, not for what it starts
  return id === undefined ? undefined : Number(id);
}

/** Tells the supervisor, if there is one: without delay, so that it knows before anything is done. */
export function tellSupervisor(told: unknown): void {
  if (supervisorId === undefined) return;
  try {
    writeSync(CHANNEL, `${JSON.stringify(told)}\n`);
  } catch {
    process.kill(process.pid, 'SIGKILL'); // nobody is there any more
  }
}

/** How often a process looks whether its parent is there. */
const LOOK_MS = 250;

/**
 * Ends this process when its parent has ended, however busy it is: a thread of its own looks. Work that nobody waits for any
 * more would go on, and hold its locks.
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
