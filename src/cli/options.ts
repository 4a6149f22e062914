import type { InferredOptionTypes, Options } from 'yargs';
import { InputError } from '../errors.js';
import { type PresetName, presetNames } from '../experiment/rules.js';
import { decimalNumber, wholeNumber } from '../json.js';
import { recipeNames } from '../training/recipe.js';
import type { GlobalOptions } from './command.js';

/** `train-images` as `trainImages`. */
type CamelCase<K> = K extends `${infer Word}-${infer Rest}` ? `${Word}${Capitalize<CamelCase<Rest> & string>}` : K;

/** The values that yargs parses from options, by name in camel case. */
type Given<O extends Readonly<Record<string, Options>>> = {
  readonly [K in keyof InferredOptionTypes<O> as CamelCase<K> & string]: InferredOptionTypes<O>[K];
};

/** Kinds of options, as yargs takes them. */
export const textOption = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
/** A whole number in plain digits; anything else (`0x10`, `1e3`) is NaN, which the command refuses. */
export const numberOption = (describe: string) => numeric(describe, wholeNumber);
/** A decimal number; everything else is NaN. */
export const decimalOption = (describe: string) => numeric(describe, decimalNumber);
/** A positional argument that must be given. */
export const argument = (describe: string) => ({ type: 'string', demandOption: true, describe }) as const;
/** One or more positional arguments. */
export const argumentList = (describe: string) => ({ ...argument(describe), array: true }) as const;
export const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;
export const listOption = (describe: string) => {
  return { type: 'string', array: true, nargs: 1, default: [] as string[], describe } as const;
};

/** Parsed from the text, not by yargs' rules for numbers; the help shows a number. */
function numeric(describe: string, parse: (text: string) => number | undefined) {
  const coerce = (given: unknown): number => {
    if (typeof given === 'string') return parse(given) ?? Number.NaN;
    return given as number; // a default; or a list if it was given twice, which is refused afterwards
  };
  return { string: true, number: true, requiresArg: true, describe, coerce } as const;
}

/** Which weights of a file are taken, and what of it is left out. */
export const weightsOptions = {
  key: textOption('where in the file the weights are, if several fit: state_dict.teacher'),
  ignore: textOption("names in the file that are left out: '*total_ops,*total_params'"),
} as const;

/** Options of every command that resolves a definition. @param preset the default */
const definitionOptions = (preset: PresetName = 'laptop') =>
  ({
    preset: { choices: presetNames, default: preset as PresetName, describe: 'size of the run' },
    checkpoint: textOption('weights: a file, or a known id'),
    ...weightsOptions,
    engine: textOption('what executes the network (dgate list engines)'),
    int8: flag('8-bit weights and activations, calibrated on training images; thresholds are searched on its scores'),
    set: listOption('override anything in the definition: path=value'),
    json: flag('one JSON document on stdout, nothing else'),
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
    /** `--log-images` of `dgate run`. */
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
  engine: { type: 'string', default: 'auto', requiresArg: true, describe: 'what trains (tfjs-...)' },
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

/** The options of a run that override a part of its definition; some commands take one seed only. */
type Overriding = Pick<RunOptions, 'checkpoint' | 'key' | 'ignore' | 'engine'> &
  Partial<Pick<RunOptions, 'int8' | 'seed' | 'seeds' | 'trainImages' | 'testImages'>>;

/** Options that override a part of the definition, applied after `--set`. */
export function optionOverrides(options: Overriding): { path: string; value: unknown }[] {
  const { checkpoint, key, ignore, engine, int8 = false, seed, trainImages, testImages } = options;
  if (seed !== undefined && options.seeds !== undefined) throw new InputError('--seed and --seeds: give one of them');
  const seeds = options.seeds === undefined ? undefined : seedsFrom(options.seeds);
  const weights = { 'weights.key': key, 'weights.ignore': ignore };
  return Object.entries({ checkpoint, ...weights, engine, int8, seed, seeds, trainImages, testImages })
    .filter(([path, value]) => value !== undefined && (path !== 'int8' || value))
    .map(([path, value]) => ({ path, value }));
}

/** @param valid what the message asks for: `a whole number from 1` @throws InputError unless the option is absent or a whole number from 1 */
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
