import { resolve } from 'node:path';
import type { Argv, CommandModule, InferredOptionTypes, Options, PositionalOptions } from 'yargs';
import { decimalNumber, wholeNumber } from '../json.js';

/** A command as yargs takes it. */
export type Command = CommandModule<object, object> & { readonly command: string };

type OptionTable = Readonly<Record<string, Options>>;

/** Command lines, and what they do. */
type Examples = Readonly<Record<string, string>>;

interface Definition<O extends OptionTable> {
  /** Name and positional arguments: `flops <network>`. */
  readonly command: string;
  /** False hides it from `dgate --help`. */
  readonly describe: string | false;
  /** Options, and the positional arguments that `command` names. */
  readonly options: O;
  readonly examples: Examples;
  readonly epilogue?: string;
  /** Imports its work when called: `--help` loads nothing of it. */
  readonly run: (options: Given<O>) => void | Promise<void>;
}

/** A command. Its options determine the type of what `run` gets. */
export function defineCommand<const O extends OptionTable>(definition: Definition<O>): Command {
  const { command, describe, options, examples, epilogue, run } = definition;
  const builder = (yargs: Argv): Argv => {
    for (const [name, own] of Object.entries(options)) {
      if (new RegExp(`[<[]${name}\\b`).test(command)) yargs.positional(name, own as PositionalOptions);
      else yargs.option(name, own);
    }
    if (epilogue !== undefined) yargs.epilogue(epilogue);
    return withExamples(yargs, examples);
  };
  return { command, describe, builder, handler: (given) => run(given as unknown as Given<O>) };
}

const withExamples = (yargs: Argv, examples: Examples): Argv =>
  Object.entries(examples).reduce((shown, [example, what]) => shown.example(example, what), yargs);

/** A command that only has subcommands: `dgate cache list`. */
export function defineGroup(command: string, describe: string, commands: Command[], examples: Examples): Command {
  const valid = commands.map((own) => own.command.split(' ')[0]).join(', ');
  const builder = (yargs: Argv): Argv =>
    withExamples(yargs.command(commands), examples).demandCommand(1, `${command}: no command; valid: ${valid}`);
  return { command, describe, builder, handler: () => {} };
}

export interface GlobalOptions {
  readonly cache?: string | undefined;
  readonly results?: string | undefined;
}

/** The folder of data, models and cached results. */
export const cacheFolder = ({ cache }: GlobalOptions): string =>
  resolve(cache ?? (process.env['DGATE_CACHE'] || '.cache'));

/** The folder of tables. */
export const resultsFolder = ({ results }: GlobalOptions): string => resolve(results ?? 'results');

/** `train-images` as `trainImages`. */
type CamelCase<K> = K extends `${infer Word}-${infer Rest}` ? `${Word}${Capitalize<CamelCase<Rest> & string>}` : K;

/** The values that yargs parses from options, those of all commands among them. */
export type Given<O extends OptionTable> = GlobalOptions & {
  readonly [K in keyof InferredOptionTypes<O> as CamelCase<K> & string]: InferredOptionTypes<O>[K];
};

/** Kinds of arguments and options. `more` are further properties, as yargs takes them. */
export const option = {
  text: <const M extends Options = object>(describe: string, more = {} as M) =>
    ({ type: 'string', requiresArg: true, describe, ...(more as NoInfer<M>) }) as const,
  /** A whole number in plain digits; anything else (`0x10`, `1e3`) is NaN, which the command refuses. */
  whole: <const M extends Options = object>(describe: string, more = {} as M) => numeric(describe, wholeNumber, more),
  /** A decimal number; anything else is NaN. */
  decimal: <const M extends Options = object>(describe: string, more = {} as M) =>
    numeric(describe, decimalNumber, more),
  choice: <const C extends string, const M extends Options = object>(
    choices: readonly C[],
    describe: string,
    more = {} as M,
  ) => ({ choices, describe, ...(more as NoInfer<M>) }) as const,
  flag: (describe: string) => ({ type: 'boolean', default: false, describe }) as const,
  /** May be given several times. */
  list: (describe: string) => ({ type: 'string', array: true, nargs: 1, default: [] as string[], describe }) as const,
  argument: (describe: string) => ({ type: 'string', demandOption: true, describe }) as const,
  /** At least one positional argument. */
  argumentList: (describe: string) => ({ type: 'string', demandOption: true, array: true, describe }) as const,
  anyArguments: (describe: string) => ({ type: 'string', array: true, describe }) as const,
} as const;

/** Parsed from the text, not by yargs' rules for numbers; the help shows a number. */
function numeric<const M extends Options = object>(
  describe: string,
  parse: (text: string) => number | undefined,
  more: M,
) {
  const coerce = (given: unknown): number => {
    if (typeof given === 'string') return parse(given) ?? Number.NaN;
    return given as number; // a default, or a list if given twice, which is refused afterwards
  };
  return { string: true, number: true, requiresArg: true, describe, coerce, ...(more as NoInfer<M>) } as const;
}
