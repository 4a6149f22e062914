import yargs, { type Argv } from 'yargs';
import { InputError } from '../errors.js';
import { versionAndCommit } from '../project.js';
import { asFileProblem } from '../store/files.js';
import { endWithParent, interruptionMessage, removeTemporaryFiles, supervisorId } from '../store/processes.js';
import type { Command, GlobalOptions } from './command.js';
import { cacheCommand } from './commands/cache.js';
import { checkCommand } from './commands/check.js';
import { compareCommand } from './commands/compare.js';
import { completionCommand } from './commands/completion.js';
import { dataCommand } from './commands/data.js';
import { doctorCommand } from './commands/doctor.js';
import { exportCommand } from './commands/export.js';
import { flopsCommand } from './commands/flops.js';
import { frontierCommand } from './commands/frontier.js';
import { listCommand } from './commands/list.js';
import { modelCommand } from './commands/model.js';
import { predictCommand } from './commands/predict.js';
import { rerunCommand } from './commands/rerun.js';
import { runCommand } from './commands/run.js';
import { runsCommand } from './commands/runs.js';
import { submitCommand, taskCommand } from './commands/submit.js';
import { tableCommand } from './commands/table.js';
import { timeCommand } from './commands/time.js';
import { trainCommand } from './commands/train.js';
import { flag, textOption } from './options.js';
import { reportFailure, say, setWide } from './output.js';

/**
 * Runs the command line.
 *
 * @returns the exit status: 0 done; 1 a regression was found or something failed; 2 bad usage or bad input
 */
export async function main(args: readonly string[]): Promise<number> {
  process.once('exit', removeTemporaryFiles);
  if (supervisorId === undefined) {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted(signal));
  } else {
    endWithParent(supervisorId); // it receives the signals, and a signal ends this process at once
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0); // the reader (head, less) has seen enough
    process.exit(reportFailure(asFileProblem(error, 'standard output')));
  });
  process.stderr.on('error', () => {}); // there is no place to report it; the exit status still tells
  let status: 0 | 1 | 2 = 0;
  process.on('uncaughtException', (error) => process.exit(status === 0 ? reportFailure(error) : status));
  try {
    await parser(args).parseAsync();
  } catch (error) {
    status = reportFailure(error); // a later failure is not the cause
  }
  return status;
}

function parser(args: readonly string[]) {
  const base = yargs([...args])
    .scriptName('dgate')
    .usage('$0 <command>\n\nPuts decision gates on trained networks and measures what leaving early costs and saves.')
    .version(versionAndCommit())
    .alias('help', 'h')
    .locale('en') // not the machine's language: all other messages are English
    .updateStrings(wordings)
    .exitProcess(false) // pending writes are awaited, and their failures reported
    .strict()
    .check(assertGivenOnce, true)
    .demandCommand(1, 'no command')
    .recommendCommands()
    .wrap(Math.min(80, process.stdout.columns ?? 80))
    .option('cache', {
      ...textOption('folder of data, models and everything computed (or DGATE_CACHE)'),
      global: true,
      defaultDescription: '.cache',
    })
    .option('wide', { ...flag('all columns of tables, however narrow the terminal'), global: true })
    .middleware(({ wide }) => setWide(wide))
    .option('results', { ...textOption('folder of tables'), global: true, defaultDescription: 'results' })
    .example('$0 run resnet56', 'the whole pipeline on a pretrained ResNet-56')
    .example('$0 flops resnet101-cifar10', 'what a network costs, stage by stage')
    .example('$0 data fetch cifar10', 'get CIFAR-10')
    .fail((message, error) => {
      // Problems that yargs finds come as a message, sometimes with an error of class YError.
      if (error !== undefined && error.name !== 'YError') throw error;
      throw new InputError(`${message.trim().replaceAll(/\s+/g, ' ')} (dgate --help)`);
    });
  return commands.reduce<Argv<GlobalOptions>>((all, add) => add(all), base);
}

/**
 * Every command. These modules hold names and options only; what a command needs to do its work it imports when it
 * runs, so that `dgate --help` loads no engine, no image library and no schema.
 */
const commands: readonly Command[] = [
  runCommand,
  timeCommand,
  exportCommand,
  predictCommand,
  checkCommand,
  runsCommand,
  rerunCommand,
  compareCommand,
  tableCommand,
  submitCommand,
  taskCommand,
  frontierCommand,
  listCommand,
  flopsCommand,
  dataCommand,
  modelCommand,
  trainCommand,
  cacheCommand,
  doctorCommand,
  completionCommand,
];

/** Messages that replace those of yargs: the problem and what would be valid. */
const wordings = {
  'Not enough non-option arguments: got %s, need at least %s': {
    one: 'something is missing after the command: %s given, %s needed',
    other: 'something is missing after the command: %s given, %s needed',
  },
  'Not enough arguments following: %s': '--%s: its value is missing',
  'Missing required argument: %s': { one: '--%s is missing', other: 'missing: %s' },
  'Unknown argument: %s': { one: 'unknown option or argument: %s', other: 'unknown options or arguments: %s' },
  'Did you mean %s?': 'unknown command; did you mean %s?',
  'Invalid values:': ' ', // yargs ignores an empty text
  'Argument: %s, Given: %s, Choices: %s': '%s: %s; valid: %s',
};

/** Options that may be given several times. */
const lists = ['run', 'filter', 'scores', '_', 'experiment', 'set', 'image', 'sbatch', 'only'];

function assertGivenOnce(options: Record<string, unknown>): true {
  const twice = Object.keys(options).filter((key) => Array.isArray(options[key]) && !lists.includes(key));
  if (twice.length > 0) throw new InputError(twice.map((key) => `--${key}: given more than once; valid: once`));
  return true;
}

/** Finished work is in the cache already; temporary files are removed. */
function interrupted(signal: 'SIGINT' | 'SIGTERM'): void {
  say(`\ndgate: ${interruptionMessage()}`);
  process.exit(signal === 'SIGINT' ? 130 : 143);
}
