import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { visibleLines } from '../escape.js';
import { type CleanupNotice, PendingCleanup } from '../store/cleanup.js';
import { CHANNEL, SUPERVISOR, supervisorId } from '../store/supervised.js';

const interruptions = ['SIGINT', 'SIGTERM'] as const;
type Interruption = (typeof interruptions)[number];

/** Time for the work to end of a signal by itself; a library that listens to signals keeps it from that while it computes. */
const GRACE_MS = 500;

/** Commands that are over at once and make nothing. */
const brief = ['list', 'flops'];
const asked = ['--help', '-h', '--version'];

/** Runs a command, in a process of its own unless it is brief. @returns the exit status */
export async function start(args: readonly string[]): Promise<number> {
  const isBrief = args.length === 0 || brief.includes(args[0]!) || args.some((word) => asked.includes(word));
  const isDebugged = process.execArgv.some((word) => word.startsWith('--inspect')); // the process that was started is wanted
  if (supervisorId === undefined && !isBrief && !isDebugged) return supervise();
  return (await import('./main.js')).main(args);
}

/**
 * Runs this very command in a process of its own and watches over it. JavaScript hears a signal between two steps only, and a
 * step (a batch on an engine, a loop over a hostile file) may take minutes: so the work listens to none and a signal ends it
 * at once, whatever it computes. What it made and did not finish is removed from here, and what there is to say is said.
 *
 * @returns the exit status: the work's, or 130 (SIGINT) or 143 (SIGTERM)
 */
async function supervise(): Promise<number> {
  const stdio = Array.from({ length: CHANNEL }, () => 'inherit' as const);
  const work = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: [...stdio, 'pipe'],
    env: { ...process.env, [SUPERVISOR]: String(process.pid) },
  });
  let heard: Interruption | undefined;
  for (const signal of interruptions) {
    process.on(signal, () => {
      heard ??= signal;
      stop(work, signal);
    });
  }
  const end = once(work, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const pending = listen(work);
  const [status, signal] = await end;
  const interruption = heard ?? interruptions.find((known) => known === signal);
  if (status === 0 || (status !== null && interruption === undefined)) return status;
  pending.remove();
  if (process.stderr.isTTY) say('\u001b[?25h'); // the cursor, which the spinner hides
  say(visibleLines(interruption === undefined ? ended(signal!) : `\ndgate: ${pending.message}\n`));
  return 128 + constants.signals[interruption ?? signal!];
}

function stop(work: ChildProcess, signal: Interruption): void {
  work.kill(signal); // from a terminal it has had it already
  setTimeout(() => work.kill('SIGKILL'), GRACE_MS).unref();
}

/** Hears what the work tells, up to its end. */
function listen(work: ChildProcess): PendingCleanup {
  const pending = new PendingCleanup();
  if (work.pid === undefined) return pending; // it could not be started, which its 'error' says
  const channel = work.stdio[CHANNEL] as Readable;
  let rest = '';
  channel.setEncoding('utf8').on('data', (text: string) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop()!;
    for (const line of lines) pending.receive(JSON.parse(line) as CleanupNotice);
  });
  channel.on('error', () => {}); // its end is the work's
  return pending;
}

function ended(signal: NodeJS.Signals): string {
  const why = signal === 'SIGKILL' ? 'killed from outside, or the memory was short' : 'a native library failed';
  return `dgate: ended by ${signal} (${why}); run the same command again and it goes on where it stopped\n`;
}

function say(text: string): void {
  try {
    writeSync(process.stderr.fd, text);
  } catch {
    // Nobody can be told; the exit status still says it.
  }
}
