import yargs from 'yargs';
import { InputError } from '../errors.js';
import { removeTemporaryFiles } from '../store/files.js';
import { version } from '../version.js';
import { commands } from './commands.js';

/**
 * Runs the command line.
 *
 * @returns the exit status: 0 done; 1 a regression was found or something failed; 2 bad usage or bad input
 */
export async function main(args: readonly string[]): Promise<number> {
  process.once('exit', removeTemporaryFiles);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted(signal));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0); // the reader (head, less) has seen enough
    throw error;
  });
  try {
    await parser(args).parseAsync();
    return 0;
  } catch (error) {
    return report(error);
  }
}

function parser(args: readonly string[]) {
  const base = yargs([...args])
    .scriptName('dgate')
    .usage('$0 <command>\n\nPuts decision gates on trained networks and measures what leaving early costs and saves.')
    .version(version())
    .alias('help', 'h')
    .strict()
    .demandCommand(1, 'no command; valid: see dgate --help')
    .recommendCommands()
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .option('cache', {
      type: 'string',
      global: true,
      describe: 'folder of data, models and everything computed (or DGATE_CACHE)',
      defaultDescription: '.cache',
    })
    .option('results', { type: 'string', global: true, describe: 'folder of tables', defaultDescription: 'results' })
    .example('$0 run resnet56', 'the whole pipeline on a pretrained ResNet-56')
    .example('$0 flops resnet101-cifar10', 'what a network costs, stage by stage')
    .example('$0 data fetch cifar10', 'get CIFAR-10')
    .fail((message, error) => {
      throw error ?? new InputError(`${message.replaceAll('\n', ' ')} (dgate --help)`);
    });
  return commands.reduce((all, command) => all.command(command), base);
}

function report(error: unknown): number {
  if (error instanceof InputError) {
    for (const problem of error.problems) process.stderr.write(`dgate: ${problem}\n`);
    return 2;
  }
  process.stderr.write(`dgate: failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  return 1;
}

/** Everything finished is in the cache already; nothing half-written stays. */
function interrupted(signal: 'SIGINT' | 'SIGTERM'): void {
  process.stderr.write('\ndgate: interrupted; run the same command again and it goes on where it stopped\n');
  process.exit(signal === 'SIGINT' ? 130 : 143);
}
