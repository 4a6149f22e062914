import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EngineDescription } from '../../timing/machine.js';
import { loaders } from '../loaders.js';
import type { Measurement } from './measure.js';

/** Whether an engine works here. */
export type Diagnosis =
  | ({ readonly works: true } & EngineDescription & Measurement)
  | { readonly works: false; readonly id: string; readonly reason: string; readonly command: string };

/** What the child process sends. */
export type Report = { readonly ready: EngineDescription } | { readonly diagnosis: Diagnosis };

/** Software graphics drivers compile their shaders for half a minute. */
const TIMEOUT_SECONDS = 120;

/**
 * Loads and measures an engine in a separate process, so that one that crashes or hangs cannot take down the others.
 *
 * @param timeoutSeconds after which the process is ended
 */
export function diagnose(id: string, timeoutSeconds = TIMEOUT_SECONDS): Promise<Diagnosis> {
  // .ts under tsx, .js when built
  const script = new URL(`./child${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
  const child = fork(fileURLToPath(script), [id], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: loaders(),
  });
  return new Promise((resolve) => {
    let diagnosis: Diagnosis | undefined;
    let isReady = false;
    let isLate = false;
    let errors = '';
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, timeoutSeconds * 1000);
    child.stderr?.on('data', (chunk: Buffer) => {
      errors = `${errors}${chunk.toString()}`.slice(-2000);
    });
    child.on('message', (report: Report) => {
      if ('ready' in report) isReady = true;
      else diagnosis = report.diagnosis;
    });
    child.on('error', (error) => {
      errors = error.message;
    });
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      const when = isReady ? 'while running a network' : 'while loading';
      const how = isLate ? `no answer within ${timeoutSeconds} s` : `its process ended with ${signal ?? status}`;
      const said = isLate ? '' : lastLine(errors);
      const reason = `${how} ${when}${said && `: ${said}`}`;
      resolve(diagnosis ?? { works: false, id, reason, command: isLate ? 'dgate doctor' : remedy(id) });
    });
  });
}

/** What puts an engine's native part back where it takes its process down. */
function remedy(id: string): string {
  return id === 'tfjs-node' || id === 'ort-cuda' ? `dgate doctor --setup ${id}` : 'npm ci';
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
