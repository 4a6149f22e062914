import { resolve } from 'node:path';
import type { ArgumentsCamelCase, Argv, InferredOptionTypes, Options } from 'yargs';
import { InputError } from '../errors.js';
import type { PresetName } from '../experiment/rules.js';
import { decimalNumber, wholeNumber } from '../json.js';
import type { RecipeName } from '../training/recipe.js';

/** Adds a command to a command line. */
export type Command = (yargs: Argv<GlobalOptions>) => Argv<GlobalOptions>;

interface Definition<T> {
  /** Name and positional arguments: `flops <network>`. */
  readonly command: string;
  /** False hides it from `dgate --help`. */
  readonly describe: string | false;
  readonly builder: (yargs: Argv<GlobalOptions>) => Argv<T>;
  /** Imports its work when called: `--help` loads nothing of it. */
  readonly run: (options: ArgumentsCamelCase<T>) => void | Promise<void>;
}

/** A command. Its builder determines the type of the options that `run` gets. */
export function defineCommand<T>({ run, ...definition }: Definition<T>): Command {
  return (yargs) => yargs.command<T>({ ...definition, handler: run });
}

interface GroupDefinition {
  readonly command: string;
  readonly describe: string;
  readonly commands: Readonly<Record<string, Command>>;
  readonly examples: readonly (readonly [command: string, what: string])[];
}

/** A command that only has subcommands: `dgate cache list`. */
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

/** The values that yargs parses from options. */
type Given<O extends Readonly<Record<string, Options>>> = {
  readonly [K in keyof InferredOptionTypes<O> as CamelCase<K> & string]: InferredOptionTypes<O>[K];
};

export const textOption = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
/** A whole number in plain digits; anything else (`0x10`, `1e3`) is NaN, which the command refuses. */
export const numberOption = (describe: string) => numeric(describe, wholeNumber);
/** A decimal number; anything else is NaN. */
export const decimalOption = (describe: string) => numeric(describe, decimalNumber);
export const argument = (describe: string) => ({ type: 'string', demandOption: true, describe }) as const;
export const anyArguments = (describe: string) => ({ type: 'string', array: true, describe }) as const;
/** At least one positional argument. */
export const argumentList = (describe: string) => ({ ...argument(describe), array: true }) as const;
export const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;
export const listOption = (describe: string) =>
  ({ type: 'string', array: true, nargs: 1, default: [] as string[], describe }) as const;
/** `--json` of commands that print results. */
export const jsonOption = flag('one JSON document on stdout, nothing else');

/** Parsed from the text, not by yargs' rules for numbers; the help shows a number. */
function numeric(describe: string, parse: (text: string) => number | undefined) {
  const coerce = (given: unknown): number => {
    if (typeof given === 'string') return parse(given) ?? Number.NaN;
    return given as number; // a default, or a list if given twice, which is refused afterwards
  };
  return { string: true, number: true, requiresArg: true, describe, coerce } as const;
}

/** Which weights of a file are read. */
export const weightsOptions = {
  key: textOption('where in the file the weights are, if several fit: state_dict.teacher'),
  ignore: textOption("names in the file that are left out: '*total_ops,*total_params'"),
} as const;

/** How pixels are prepared, where no file says it. */
export const pixelOptions = {
  mean: textOption('mean of each channel: 0.49,0.48,0.45'),
  std: textOption('standard deviation of each channel'),
  resize: { type: 'number', requiresArg: true, describe: 'shorter side, in pixels' },
  interpolation: {
    choices: ['bilinear', 'bicubic'] as const,
    requiresArg: true,
    describe: 'how images are resized',
  },
} as const;

/** Numbers with commas between them. @throws InputError */
export function numbersFrom(name: string, text: string): number[] {
  const numbers = text.split(',').map((part) => decimalNumber(part.trim()));
  if (numbers.every((number) => number !== undefined)) return numbers;
  throw new InputError(`--${name} ${text}; valid: numbers, separated by commas`);
}

/** `--mean` and `--std`. @throws InputError for one alone */
export function normalisationFrom({
  mean,
  std,
}: {
  readonly mean?: string | undefined;
  readonly std?: string | undefined;
}) {
  if ((mean === undefined) !== (std === undefined)) {
    throw new InputError(`--${mean === undefined ? 'std' : 'mean'} alone; valid: --mean and --std together`);
  }
  return mean === undefined ? undefined : { mean: numbersFrom('mean', mean), std: numbersFrom('std', std!) };
}

// Copies of the lists: `--help` loads no schema and no engine.
const presetNames = ['paper', 'laptop', 'quick', 'smoke'] as const satisfies readonly PresetName[];
const recipeNames = ['paper', 'laptop', 'smoke'] as const satisfies readonly RecipeName[];

/** Options of commands that resolve a definition. @param preset the default */
const definitionOptions = (preset: PresetName = 'laptop') =>
  ({
    preset: { choices: presetNames, default: preset as PresetName, describe: 'size of the run' },
    checkpoint: textOption('weights: a file, or a known id'),
    ...weightsOptions,
    engine: textOption('what executes the network (dgate list engines)'),
    int8: flag('8-bit weights and activations, calibrated on training images; thresholds are searched on its scores'),
    set: listOption('override anything in the definition: path=value'),
    json: jsonOption,
  }) as const;

/** Options of commands that also choose seed and images. */
export const runOptions = {
  ...definitionOptions(),
  seed: numberOption('seed of image choice, folds and training'),
  'train-images': numberOption('training images for the gates'),
  'test-images': numberOption('test images'),
} as const;

/** Options of `dgate run`. */
export const experimentOptions = {
  ...runOptions,
  seeds: textOption('several seeds and a table of their means: 0..4, or 0,2,5'),
  set: listOption('override anything in the definition: path=value; path=value,value runs every combination'),
  'dry-run': flag('only print what would be computed and why, with time and disk space'),
} as const;

export type RunOptions = GlobalOptions &
  Given<typeof experimentOptions> & {
    readonly experiment: readonly string[];
    readonly logImages?: boolean | undefined;
  };

/** Options of `dgate check`. */
export const checkOptions = {
  baseline: { ...textOption('folder of baselines, a CSV for each experiment'), defaultDescription: 'results/baseline' },
  update: flag('replace the baseline, and show what changes'),
  junit: textOption('also write a JUnit report, for CI servers'),
  ...definitionOptions('smoke'),
} as const;

export type CheckOptions = GlobalOptions &
  Given<typeof checkOptions> & { readonly experiment: readonly string[] | undefined };

/** Options of `dgate submit`. */
export const submitOptions = {
  ...runOptions,
  seeds: textOption('several seeds: 0..4, or 0,2,5'),
  set: listOption('override the definition: path=value; path=value,value submits every combination'),
  shards: { ...numberOption('tasks of one extraction'), default: 1 },
  'at-once': numberOption('tasks of a stage at a time'),
  partition: textOption("Slurm's --partition"),
  account: textOption("Slurm's --account"),
  time: textOption("Slurm's --time of a task: 2:00:00"),
  gpus: textOption("Slurm's --gpus of a task that extracts, trains or runs: 1, a100:1"),
  cpus: numberOption("Slurm's --cpus-per-task"),
  mem: textOption("Slurm's --mem of a task: 16G"),
  sbatch: listOption('further arguments of sbatch, unchanged: --sbatch=--qos=long'),
  'dry-run': flag('print the scripts; submit nothing'),
  status: flag('tasks that wait, run, are done, or failed and why'),
  resubmit: flag('resubmit failed tasks and those that depend on them'),
  only: listOption('with --resubmit: this task alone (extract-2)'),
  submission: { ...textOption('which one, for --status and --resubmit'), defaultDescription: 'the newest' },
} as const;

export type SubmitOptions = GlobalOptions &
  Given<typeof submitOptions> & { readonly experiment: readonly string[] | undefined };

/** Options of `dgate train`. */
export const trainOptions = {
  preset: {
    choices: recipeNames,
    defaultDescription: 'laptop',
    describe: 'recipe: paper (200 epochs, for a GPU), laptop (20 epochs, small networks), smoke',
  },
  epochs: numberOption("passes over the images, instead of the recipe's"),
  'batch-size': numberOption("images of a step, instead of the recipe's"),
  'learning-rate': decimalOption("highest learning rate, instead of the recipe's"),
  seed: { ...numberOption('of the first weights, order, crops and the images held out'), defaultDescription: '0' },
  engine: { ...textOption('what trains (tfjs-...)'), default: 'auto' },
  'train-images': numberOption('learn from some images only'),
  out: {
    ...textOption('checkpoint to write; its curve is written next to it as .csv'),
    defaultDescription: '<network>.safetensors',
  },
  resume: flag('resume the interrupted training of --out'),
  'checkpoint-every': numberOption(
    'steps between two states to resume from; otherwise after each epoch and every 5 minutes',
  ),
  json: flag('the outcome as JSON'),
} as const;

export type TrainCommandOptions = GlobalOptions & Given<typeof trainOptions> & { readonly network: string };

/** The options that override a part of a definition; some commands lack the second group. */
type Overriding = Pick<RunOptions, 'checkpoint' | 'key' | 'ignore' | 'engine'> &
  Partial<Pick<RunOptions, 'int8' | 'seed' | 'seeds' | 'trainImages' | 'testImages'>>;

/** Options that override a part of the definition, applied after `--set`. @throws InputError */
export function optionOverrides(options: Overriding): { path: string; value: unknown }[] {
  const { checkpoint, key, ignore, engine, int8 = false, seed, trainImages, testImages } = options;
  if (seed !== undefined && options.seeds !== undefined) throw new InputError('--seed and --seeds: give one of them');
  const seeds = options.seeds === undefined ? undefined : seedsFrom(options.seeds);
  const weights = { 'weights.key': key, 'weights.ignore': ignore };
  return Object.entries({ checkpoint, ...weights, engine, int8, seed, seeds, trainImages, testImages })
    .filter(([path, value]) => value !== undefined && (path !== 'int8' || value))
    .map(([path, value]) => ({ path, value }))
    .concat(seed === undefined ? [] : [{ path: 'seeds', value: undefined }]); // one seed, also of a definition with several
}

/** @throws InputError for an output that would replace a file of another kind */
export function assertOut(out: string, ending: 'onnx' | 'safetensors'): void {
  if (!out.endsWith(`.${ending}`)) throw new InputError(`--out ${out}; valid: a file whose name ends in .${ending}`);
}

/** @param valid for the message: `a whole number from 1` @throws InputError unless absent or a whole number from 1 to `most` */
export function assertWhole(
  name: string,
  value: number | undefined,
  valid: string,
  most = Number.MAX_SAFE_INTEGER,
): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return;
  throw new InputError(`--${name} ${value}; valid: ${valid}`);
}

/** `0..4` or `0,2,5` as a list. @throws InputError */
export function seedsFrom(text: string): number[] {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? [];
  const count = Number(to) - Number(from) + 1;
  if (from !== undefined && count >= 1 && count <= 1000) {
    return Array.from({ length: count }, (_, i) => Number(from) + i);
  }
  if (/^\d+(,\d+)*$/.test(text)) return [...new Set(text.split(',').map(Number))];
  throw new InputError(`--seeds ${text}; valid: a range such as 0..4 (at most 1,000), or a list such as 0,2,5`);
}

/** `224x224`, or one number for both. @throws InputError */
export function sizeFrom(text: string): readonly [height: number, width: number] {
  const sides = text.split('x').map(Number);
  const [height = Number.NaN, width = height] = sides;
  const isSize = (side: number): boolean => Number.isInteger(side) && side > 0;
  if (sides.length <= 2 && isSize(height) && isSize(width)) return [height, width];
  throw new InputError(`--input-size ${text}; valid: HEIGHTxWIDTH in pixels, 224x224 for example`);
}
