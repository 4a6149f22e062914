import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { visibleLines } from '../escape.js';
import {
  CHANNEL,
  type CleanupNotice,
  type Interruption,
  interruptions,
  PendingCleanup,
  SUPERVISOR,
  supervisorId,
} from '../store/processes.js';

/** Time for a signal to end the child process; a library may delay it while it computes. */
const GRACE_MS = 500;

/** Quick commands that write nothing. */
const briefCommands = ['list', 'flops'];
const helpFlags = ['--help', '-h', '--version'];

/** Runs a command, in a child process unless it is brief. @returns the exit status */
export async function start(args: readonly string[]): Promise<number> {
  const isBrief = args.length === 0 || briefCommands.includes(args[0]!) || args.some((arg) => helpFlags.includes(arg));
  const isDebugged = process.execArgv.some((word) => word.startsWith('--inspect')); // a debugger needs the process that it started
  if (supervisorId === undefined && !isBrief && !isDebugged) return supervise();
  return (await import('./main.js')).main(args);
}

/**
 * Runs this command in a child process. JavaScript handles a signal only between two steps, and a step (a batch on an
 * engine, a loop over a hostile file) may take minutes. So the child handles no signals: they end it at once, and this
 * process removes its temporary files and reports its message.
 *
 * @returns the exit status: the work's, or 128 and the number of the signal: 130 (SIGINT), 143 (SIGTERM), 129 (SIGHUP)
 */
async function supervise(): Promise<number> {
  const stdio = Array.from({ length: CHANNEL }, () => 'inherit' as const);
  const work = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: [...stdio, 'pipe'],
    env: { ...process.env, [SUPERVISOR]: String(process.pid) },
  });
  let received: Interruption | undefined;
  for (const signal of interruptions) {
    process.on(signal, () => {
      received ??= signal;
      stop(work, signal);
    });
  }
  const end = once(work, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const pending = listen(work);
  const [status, signal] = await end;
  const interruption = received ?? interruptions.find((known) => known === signal);
  if (status === 0 || (status !== null && interruption === undefined)) return status;
  pending.remove();
  if (process.stderr.isTTY) say('\u001b[?25h'); // the cursor, which the spinner hides
  say(visibleLines(interruption === undefined ? ended(signal!) : `\ndgate: ${pending.message}\n`));
  return 128 + constants.signals[interruption ?? signal!];
}

function stop(work: ChildProcess, signal: Interruption): void {
  work.kill(signal); // a terminal has sent it to the child already
  setTimeout(() => work.kill('SIGKILL'), GRACE_MS).unref();
}

/** Receives the child's notices until it ends. */
function listen(work: ChildProcess): PendingCleanup {
  const pending = new PendingCleanup();
  if (work.pid === undefined) return pending; // the child could not be started; its 'error' event reports that
  const channel = work.stdio[CHANNEL] as Readable;
  let rest = '';
  channel.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop()!;
    for (const line of lines) pending.receive(JSON.parse(line) as CleanupNotice);
  });
  channel.on('error', () => {}); // the child has ended
  return pending;
}

function ended(signal: NodeJS.Signals): string {
  const why = signal === 'SIGKILL' ? 'killed from outside, or out of memory' : 'a native library failed';
  return `dgate: ended by ${signal} (${why}); run the same command again to resume\n`;
}

function say(text: string): void {
  try {
    writeSync(process.stderr.fd, text);
  } catch {
    // Cannot be reported; the exit status remains.
  }
}
