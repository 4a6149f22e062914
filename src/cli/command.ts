import { resolve } from 'node:path';
import type { ArgumentsCamelCase, Argv } from 'yargs';

/** Adds a command to a command line. */
export type Command = (yargs: Argv<GlobalOptions>) => Argv<GlobalOptions>;

interface Definition<T> {
  /** Name and positional arguments: `flops <network>`. */
  readonly command: string;
  /** False: not shown in `dgate --help`. */
  readonly describe: string | false;
  /** Adds the options. The type of what it returns is the type of what `run` takes. */
  readonly builder: (yargs: Argv<GlobalOptions>) => Argv<T>;
  /** Does the work. It imports what it needs when it is called, so that `--help` loads nothing. */
  readonly run: (options: ArgumentsCamelCase<T>) => void | Promise<void>;
}

/** A command whose options are typed once, by its builder. */
export function defineCommand<T>({ run, ...definition }: Definition<T>): Command {
  return (yargs) => yargs.command<T>({ ...definition, handler: run });
}

interface GroupDefinition {
  /** Its name, and the first word of each of its commands. */
  readonly command: string;
  readonly describe: string;
  readonly commands: Readonly<Record<string, Command>>;
  readonly examples: readonly (readonly [command: string, what: string])[];
}

/** A command that only has commands of its own: `dgate cache list`. */
export function defineGroup({ command, describe, commands, examples }: GroupDefinition): Command {
  return defineCommand({
    command,
    describe,
    builder: (yargs) => {
      const all = Object.values(commands).reduce((added, add) => add(added), yargs);
      const valid = Object.keys(commands).join(', ');
      return examples
        .reduce((shown, [example, what]) => shown.example(example, what), all)
        .demandCommand(1, `${command}: no command; valid: ${valid}`);
    },
    run: () => {},
  });
}

/** Options that every command has. */
export interface GlobalOptions {
  readonly cache?: string | undefined;
  readonly results?: string | undefined;
}

/** The folder of data, models and cached results. */
export function cacheFolder({ cache }: GlobalOptions): string {
  return resolve(cache ?? (process.env['DGATE_CACHE'] || '.cache'));
}

/** The folder of tables. */
export const resultsFolder = ({ results }: GlobalOptions): string => resolve(results ?? 'results');
