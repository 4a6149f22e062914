import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { InputError } from '../../src/errors.js';
import type { Outcome } from './fuzz.js';
import { readers } from './readers/index.js';
import { scratchFolder } from './scratch.js';

// npm run test:fuzz [-- [READER...] [--seed N] [--inputs N] [--only N]]: every reader in a process of its own, which is
// watched: no input may take longer than a second, nor the process more than 512 MB.

/** A process that has not begun another input for this long hangs; a second was its due, on an idle machine. */
const HANG_MS = 20_000;
const LOOK_MS = 500;
const MOST_MB = 512;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, inputs: { type: 'string' }, only: { type: 'string' } },
});
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
const chosen = positionals.length === 0 ? readers : readers.filter(({ name }) => positionals.includes(name));
if (chosen.length === 0) throw new InputError(`valid: ${readers.map(({ name }) => JSON.stringify(name)).join(', ')}`);

interface Watched extends Outcome {
  readonly memoryMb: number;
}

async function watched(name: string, inputs: number): Promise<Watched> {
  const progress = join(scratchFolder(), 'progress');
  const child = fileURLToPath(new URL('child.ts', import.meta.url));
  const args = ['--import', 'tsx', child, name, String(seed), String(inputs), progress];
  const start = performance.now();
  const running = spawn(process.execPath, values.only === undefined ? args : [...args, values.only], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [said, wrong, before, stillMs] = ['', '', -1, 0];
  running.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  running.stderr.setEncoding('utf8').on('data', (text: string) => {
    wrong += text;
  });
  let hangs = false;
  // By looks, not by the clock: a machine that stands still, or all of its processes, is no hang.
  const timer = setInterval(() => {
    const now = inputOf(progress);
    if (now !== before) [before, stillMs] = [now, 0];
    else if (now >= 0) stillMs += LOOK_MS;
    if (stillMs <= HANG_MS) return;
    hangs = true;
    running.kill('SIGKILL');
  }, LOOK_MS);
  const status = await new Promise<number | null>((resolve) => running.once('close', resolve));
  clearInterval(timer);
  if (status === 0) return JSON.parse(said) as Watched;
  const at = inputOf(progress);
  const failure = `${hangs ? 'hangs at' : `ended with ${running.signalCode ?? status} in`} input ${at}, seed ${seed}\n${wrong}`;
  const seconds = (performance.now() - start) / 1000;
  return { reader: name, inputs: at + 1, accepted: 0, refused: 0, slowestMs: 0, seconds, memoryMb: 0, failure };
}

/** Number of the input that a process reads now; -1 before the first. */
function inputOf(progress: string): number {
  try {
    return Number(readFileSync(progress).readBigInt64LE());
  } catch {
    return -1;
  }
}

process.stdout.write(`seed ${seed}\n`);
let [total, failed] = [0, 0];
for (const { name, inputs } of chosen) {
  const outcome = await watched(name, values.inputs === undefined ? inputs : Number(values.inputs));
  const { accepted, refused, slowestMs, seconds, memoryMb, notes, failure } = outcome;
  total += outcome.inputs;
  const memory = memoryMb > MOST_MB ? `more than ${MOST_MB} MB: ` : '';
  if (failure !== undefined || memory !== '') failed++;
  process.stdout.write(
    `${name.padEnd(32)} ${String(outcome.inputs).padStart(6)} inputs: ${accepted} taken, ${refused} refused; slowest ` +
      `${slowestMs.toFixed(0)} ms; ${memory}${memoryMb.toFixed(0)} MB; ${seconds.toFixed(0)} s${notes === undefined ? '' : `; ${notes}`}${failure === undefined ? '' : `\n  FAILED: ${failure}`}\n`,
  );
}
process.stdout.write(`${total} inputs, ${chosen.length} readers, ${failed} failed\n`);
process.exitCode = failed > 0 ? 1 : 0;
