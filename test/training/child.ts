import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { startCli } from '../cli/cli.js';

/** One network for every test of the command: 1, 2 and 4 channels, so that plain JavaScript trains it. */
export const smallest = 'resnet20-blocks1.1.1-width0.0625-cifar10';

/** The command line in a process of its own, on the images of `smallDatasets.ts`. */
export interface DgateProcess {
  readonly child: ChildProcess;
  stdout: string;
  stderr: string;
  /** Exit status, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

/** @param folder where it runs, with its cache; paths are relative to it */
export function startTraining(folder: string, args: string, batchMs = 0): DgateProcess {
  return startDgate(folder, `train ${args}`, batchMs);
}

export function startDgate(folder: string, args: string, batchMs = 0): DgateProcess {
  const images = new URL('smallDatasets.ts', import.meta.url).href;
  const options = { cwd: folder, env: { TEST_BATCH_MS: String(batchMs) }, generated: images };
  const { process: child } = startCli([...args.split(' '), '--cache', 'cache', '--results', 'results'], options);
  const ended = once(child, 'close').then(([status, signal]) => (signal ?? status) as number | string);
  const running: DgateProcess = { child, stdout: '', stderr: '', ended };
  child.stdout!.on('data', (text: string) => {
    running.stdout += text;
  });
  child.stderr!.on('data', (text: string) => {
    running.stderr += text;
  });
  return running;
}

/** Waits until a process has said something on stderr. @throws Error where it ends before */
export async function said({ child, ...running }: DgateProcess, what: RegExp): Promise<void> {
  let text = running.stderr;
  const listener = (chunk: string): void => {
    text += chunk;
  };
  child.stderr!.on('data', listener);
  try {
    while (!what.test(text)) {
      const event = await Promise.race([
        once(child.stderr!, 'data').then(() => 'data'),
        running.ended.then(() => 'ended'),
      ]);
      if (event === 'ended' && !what.test(text)) throw new Error(`ended without ${what}: ${text}`);
    }
  } finally {
    child.stderr!.removeListener('data', listener);
  }
}
