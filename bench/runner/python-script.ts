import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { python } from './peers.js';

/** A script in a process of its own that answers a line of text with a line of JSON. */
export interface PythonScript<Hello> {
  /** What it said first. */
  readonly hello: Hello;
  ask<Answer>(line: string): Promise<Answer>;
  close(): Promise<void>;
}

/** Starts a script of bench/ and takes its first line. @throws Error where it ends instead */
export async function startScript<Hello>(script: string, args: readonly string[]): Promise<PythonScript<Hello>> {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
  const child = spawn(python, [path, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const listen = async (): Promise<unknown> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`bench/${script} ended`);
    return JSON.parse(value) as unknown;
  };
  return {
    hello: (await listen()) as Hello,
    ask: async <Answer>(line: string): Promise<Answer> => {
      child.stdin.write(`${line}\n`);
      return (await listen()) as Answer;
    },
    close: async () => {
      child.stdin.end();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}
