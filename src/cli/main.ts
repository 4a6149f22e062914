import { Console } from 'node:console';
import { constants } from 'node:os';
import { basename } from 'node:path';
import yargs from 'yargs';
import { InputError } from '../errors.js';
import { versionAndCommit } from '../project.js';
import { asFileProblem } from '../store/files.js';
import {
  endWithParent,
  type Interruption,
  interruptionMessage,
  interruptions,
  removeTemporaryFiles,
  supervisorId,
} from '../store/processes.js';
import { type Command, defineCommand, option } from './command.js';
import { cacheCommand } from './commands/cache.js';
import { checkCommand } from './commands/check.js';
import { compareCommand, rerunCommand, tableCommand } from './commands/compare.js';
import { dataCommand } from './commands/data.js';
import { doctorCommand } from './commands/doctor.js';
import { exportCommand } from './commands/export.js';
import { frontierCommand } from './commands/frontier.js';
import { flopsCommand, listCommand } from './commands/list.js';
import { modelCommand } from './commands/model.js';
import { predictCommand } from './commands/predict.js';
import { runCommand, submitCommand, taskCommand } from './commands/run.js';
import { runsCommand } from './commands/runs.js';
import { timeCommand } from './commands/time.js';
import { trainCommand } from './commands/train.js';
import { print, reportFailure, say, setWide } from './output.js';

/** Runs the command line. @returns exit status: 0 done; 1 a regression was found or something failed; 2 bad usage or input */
export async function main(args: readonly string[]): Promise<number> {
  process.once('exit', removeTemporaryFiles);
  if (supervisorId === undefined) {
    for (const signal of interruptions) process.once(signal, () => interrupted(signal));
  } else {
    endWithParent(supervisorId); // the supervisor receives the signals; a signal ends this process at once
  }
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0); // the reader (head, less) has seen enough
    process.exit(reportFailure(asFileProblem(error, 'standard output')));
  });
  process.stderr.on('error', () => {}); // cannot be reported; the exit status tells
  let status: 0 | 1 | 2 = 0;
  process.on('uncaughtException', (error) => process.exit(status === 0 ? reportFailure(error) : status));
  try {
    await parser(args).parseAsync();
  } catch (error) {
    status = reportFailure(error); // a later failure is not the cause
  }
  return status;
}

function parser(given: readonly string[]) {
  const args = withoutDashes(given);
  return yargs(args)
    .scriptName('dgate')
    .usage('$0 <command>\n\nPuts decision gates on trained networks and measures what leaving early costs and saves.')
    .version(versionAndCommit())
    .alias('help', 'h')
    .locale('en') // not the machine's language: all other messages are English
    .updateStrings(wordings as unknown as Record<string, string>) // its type lacks plurals
    .exitProcess(false) // pending writes are awaited, and their failures reported
    .strict()
    .parserConfiguration({ 'boolean-negation': false }) // --no-cache would give false for a text
    .check((options) => assertGiven(options, args), true)
    .demandCommand(1, 'no command')
    .recommendCommands()
    .wrap(Math.min(80, process.stdout.columns ?? 80))
    .options({
      cache: option.text('folder of data, models and everything computed (or DGATE_CACHE)', {
        defaultDescription: '.cache',
      }),
      wide: option.flag('all columns of tables, however narrow the terminal'),
      results: option.text('folder of tables', { defaultDescription: 'results' }),
    })
    .middleware(({ wide }) => {
      setWide(wide);
      globalThis.console = new Console(process.stderr); // of definitions and libraries: stdout is for results
    })
    .example('$0 run resnet56', 'the whole pipeline on a pretrained ResNet-56')
    .example('$0 flops resnet101-cifar10', 'what a network costs, stage by stage')
    .example('$0 data fetch cifar10', 'get CIFAR-10')
    .command(commands)
    .fail((message, error) => {
      // Problems that yargs finds come as a message, sometimes with an error of class YError.
      if (error !== undefined && error.name !== 'YError') throw error;
      throw new InputError(`${message.trim().replaceAll(/\s+/g, ' ')} (dgate --help)`);
    });
}

/** The scripts ask the program as it was typed (`$1`), which yargs answers; otherwise they complete file names. */
const completionScripts = {
  bash: `_dgate() {
  local IFS=$'\\n'
  COMPREPLY=($(compgen -W "$(SHELL=bash "$1" --get-yargs-completions "\${COMP_WORDS[@]}" 2>/dev/null)" -- "$2"))
}
complete -o bashdefault -o default -F _dgate dgate
`,
  zsh: `#compdef dgate
_dgate() {
  local -a reply
  reply=("\${(@f)$(SHELL=zsh "$words[1]" --get-yargs-completions "\${words[@]}" 2>/dev/null)}")
  if [[ -n "$reply" ]]; then _describe dgate reply; else _files; fi
}
compdef _dgate dgate
`,
} as const;

const completionCommand = defineCommand({
  command: 'completion [shell]',
  describe: 'print the completion script of a shell',
  options: {
    shell: option.choice(['bash', 'zsh'], 'name of the shell', {
      default: basename(process.env['SHELL'] ?? '') === 'zsh' ? 'zsh' : 'bash',
      defaultDescription: "the user's own",
    }),
  },
  examples: {
    '$0 completion bash >> ~/.bashrc': 'takes effect in new shells',
    '$0 completion zsh >> ~/.zshrc': 'the same, after compinit',
  },
  run: ({ shell }) => print(completionScripts[shell]),
});

/** These modules hold names and options; a command imports its work when it runs, so `dgate --help` is quick. */
const commands: Command[] = [
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

/** Messages in place of yargs': the problem and valid values. */
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

/** What follows `--` are names, also those that begin with a dash; yargs would ignore them. */
function withoutDashes(args: readonly string[]): string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  return [...args.slice(0, end), ...args.slice(end + 1).map((name) => (name.startsWith('-') ? `./${name}` : name))];
}

/** What no command takes: an option given twice, an empty value, a number in another form, `--json=maybe`. */
function assertGiven(options: Record<string, unknown>, args: readonly string[]): true {
  const problems = Object.entries(options).flatMap(([key, value]) => {
    if (/[A-Z]/.test(key)) return []; // yargs' copy of a name with dashes
    if (Array.isArray(value) && !lists.includes(key)) return `--${key}: given more than once; valid: once`;
    if ([value].flat().includes('')) return `${key}: an empty value; valid: leave it out, or give one`;
    if (Number.isNaN(value)) return `--${key}: not a number that it takes; valid: digits, as in 10; of a share 0.005`;
    const other = args.find((arg) => typeof value === 'boolean' && arg.startsWith(`--${key}=`));
    return other === undefined || /=(true|false)$/.test(other) ? [] : `${other}; valid: --${key}`;
  });
  if (problems.length > 0) throw new InputError(problems);
  return true;
}

function interrupted(signal: Interruption): void {
  say(`\ndgate: ${interruptionMessage()}`);
  process.exit(128 + constants.signals[signal]);
}
