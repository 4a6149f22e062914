import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { here, type Result, type RunOptions, startsWith } from './cli.js';

/**
 * Runs commands one after the other in one process, a tenth of the time that a process of each takes. It is for commands that are
 * refused, or say what they know at once; `runCli` is for what starts, ends and interrupts processes.
 */
export class WarmCli {
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  private last: Promise<unknown> = Promise.resolve();

  constructor(options: Pick<RunOptions, 'imports' | 'generated'> = {}) {
    const { loads, place, inherited } = startsWith(options);
    const words = [...loads, fileURLToPath(here('host.mjs')), place('src/cli/main')];
    this.child = spawn(process.execPath, words, { env: inherited, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.ended = once(this.child, 'close');
  }

  /** @throws Error where the command ends the process */
  run(args: readonly string[], { cwd = tmpdir() }: Pick<RunOptions, 'cwd'> = {}): Promise<Omit<Result, 'seconds'>> {
    const result = this.last.then(async () => {
      const said = once(this.child, 'message');
      this.child.send({ args, cwd });
      const end = this.ended.then((status) =>
        Promise.reject(new Error(`dgate ${args.join(' ')}: ended its process: ${status}`)),
      );
      const [message] = (await Promise.race([said, end])) as [Omit<Result, 'seconds'>];
      return message;
    });
    this.last = result.catch(() => {});
    return result;
  }

  close(): void {
    this.child.kill('SIGKILL');
  }
}
