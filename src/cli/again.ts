import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { CHANNEL, SUPERVISOR, supervisorId } from '../store/supervised.js';

/**
 * Runs this very command in a fresh process, with more arguments. It ends with this process, reports to the same
 * supervisor what an interruption must remove, and has no standard output.
 *
 * @throws Error if it fails; it has reported why
 */
export async function runAgain(more: readonly string[]): Promise<void> {
  const channel = supervisorId === undefined ? 'ignore' : CHANNEL;
  const work = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1), ...more], {
    stdio: ['ignore', 'ignore', 'inherit', channel],
    env: { ...process.env, [SUPERVISOR]: String(process.pid) },
  });
  const [status, signal] = (await once(work, 'close')) as [number | null, NodeJS.Signals | null];
  if (status === 0) return;
  throw new Error(
    `a process of this command ended with ${signal ?? `status ${status}`}; run the command again to go on`,
  );
}
