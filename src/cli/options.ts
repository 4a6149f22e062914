import { InputError } from '../errors.js';
import type { PresetName } from '../experiment/rules.js';
import { decimalNumber } from '../json.js';
import type { RecipeName } from '../training/recipe.js';
import { type Given, option } from './command.js';

/** `--json` of commands that print results. */
export const jsonOption = option.flag('one JSON document on stdout, nothing else');

/** Which weights of a file are read. */
export const weightsOptions = {
  key: option.text('where in the file the weights are, if several fit: state_dict.teacher'),
  ignore: option.text("names in the file that are left out: '*total_ops,*total_params'"),
} as const;

/** How pixels are prepared, where no file says it. */
export const pixelOptions = {
  mean: option.text('mean of each channel: 0.49,0.48,0.45'),
  std: option.text('standard deviation of each channel'),
  resize: { type: 'number', requiresArg: true, describe: 'shorter side, in pixels' },
  interpolation: option.choice(['bilinear', 'bicubic'], 'how images are resized', { requiresArg: true }),
} as const;

/** Numbers with commas between them. @throws InputError */
export function numbersFrom(name: string, text: string, valid = 'numbers', parse = decimalNumber): number[] {
  const numbers = text.split(',').map((part) => parse(part.trim()));
  if (numbers.every((number) => number !== undefined)) return numbers;
  throw new InputError(`--${name} ${text}; valid: ${valid}, separated by commas`);
}

/** `--mean` and `--std`. @throws InputError for one alone */
export function normalisationFrom({ mean, std }: Pick<Given<typeof pixelOptions>, 'mean' | 'std'>) {
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
    preset: option.choice(presetNames, 'size of the run', { default: preset }),
    checkpoint: option.text('weights: a file, or a known id'),
    ...weightsOptions,
    engine: option.text('what executes the network (dgate list engines)'),
    int8: option.flag(
      '8-bit weights and activations, calibrated on training images; thresholds are searched on its scores',
    ),
    set: option.list('override anything in the definition: path=value'),
    json: jsonOption,
  }) as const;

/** Options of commands that also choose seed and images. */
export const runOptions = {
  ...definitionOptions(),
  seed: option.whole('seed of image choice, folds and training'),
  'train-images': option.whole('training images for the gates'),
  'test-images': option.whole('test images'),
} as const;

/** Options of `dgate run`. */
export const experimentOptions = {
  ...runOptions,
  seeds: option.text('several seeds and a table of their means: 0..4, or 0,2,5'),
  set: option.list('override anything in the definition: path=value; path=value,value runs every combination'),
  'dry-run': option.flag('only print what would be computed and why, with time and disk space'),
} as const;

export type RunOptions = Given<typeof experimentOptions> & {
  readonly experiment: readonly string[];
  readonly logImages?: boolean;
};

/** Options of `dgate check`. */
export const checkOptions = {
  experiment: option.anyArguments(
    'names (dgate list experiments) or files (./mine.ts); by default every one that has a baseline',
  ),
  baseline: option.text('folder of baselines, a CSV for each experiment', { defaultDescription: 'results/baseline' }),
  update: option.flag('replace the baseline, and show what changes'),
  junit: option.text('also write a JUnit report, for CI servers'),
  ...definitionOptions('smoke'),
} as const;

export type CheckOptions = Given<typeof checkOptions>;

/** Options of `dgate submit`. */
export const submitOptions = {
  experiment: option.anyArguments('names or files, as dgate run takes them'),
  ...runOptions,
  seeds: option.text('several seeds: 0..4, or 0,2,5'),
  set: option.list('override the definition: path=value; path=value,value submits every combination'),
  shards: option.whole('tasks of one extraction', { default: 1 }),
  'at-once': option.whole('tasks of a stage at a time'),
  partition: option.text("Slurm's --partition"),
  account: option.text("Slurm's --account"),
  time: option.text("Slurm's --time of a task: 2:00:00"),
  gpus: option.text("Slurm's --gpus of a task that extracts, trains or runs: 1, a100:1"),
  cpus: option.whole("Slurm's --cpus-per-task"),
  mem: option.text("Slurm's --mem of a task: 16G"),
  sbatch: option.list('further arguments of sbatch, unchanged: --sbatch=--qos=long'),
  'dry-run': option.flag('print the scripts; submit nothing'),
  status: option.flag('tasks that wait, run, are done, or failed and why'),
  resubmit: option.flag('resubmit failed tasks and those that depend on them'),
  only: option.list('with --resubmit: this task alone (extract-2)'),
  submission: option.text('which one, for --status and --resubmit', { defaultDescription: 'the newest' }),
} as const;

export type SubmitOptions = Given<typeof submitOptions>;

/** Options of `dgate train`. */
export const trainOptions = {
  network: option.argument('a name (dgate list networks)'),
  preset: option.choice(
    recipeNames,
    'recipe: paper (200 epochs, for a GPU), laptop (20 epochs, small networks), smoke',
    { defaultDescription: 'laptop' },
  ),
  epochs: option.whole("passes over the images, instead of the recipe's"),
  'batch-size': option.whole("images of a step, instead of the recipe's"),
  'learning-rate': option.decimal("highest learning rate, instead of the recipe's"),
  seed: option.whole('of the first weights, order, crops and the images held out', { defaultDescription: '0' }),
  engine: option.text('what trains (tfjs-...)', { default: 'auto' }),
  'train-images': option.whole('learn from some images only'),
  out: option.text('checkpoint to write; its curve is written next to it as .csv', {
    defaultDescription: '<network>.safetensors',
  }),
  resume: option.flag('resume the interrupted training of --out'),
  'checkpoint-every': option.whole(
    'steps between two states to resume from; otherwise after each epoch and every 5 minutes',
  ),
  json: option.flag('the outcome as JSON'),
} as const;

export type TrainCommandOptions = Given<typeof trainOptions>;

/** Of ONNX files that do not say it. */
export const graphOptions = {
  logits: option.text('output with one value per class'),
  'input-size': option.text('height x width of the images, where the file leaves them open: 224x224'),
} as const;

const networkOption = option.text('a name (dgate list networks)', { demandOption: true });

/** Options of `dgate model import`. */
export const importOptions = {
  file: option.argument('PyTorch (.pt, .pth, .th) or safetensors'),
  network: networkOption,
  ...weightsOptions,
  out: option.text('file to write', { demandOption: true }),
  ...pixelOptions,
  crop: { type: 'number', requiresArg: true, describe: 'ImageNet: side of the centre, in pixels' },
  'held-out': option.text('JSON file: positions of the training images that the network has not learnt from'),
  half: option.flag('store weights in half precision'),
  int8: option.flag('store weights as 8-bit integers with a scale for each output channel, the rest as --half'),
} as const;

/** Options of `dgate model inspect`. */
export const inspectOptions = {
  file: option.argument('a trained classifier as ONNX'),
  ...graphOptions,
  json: option.flag('as JSON'),
} as const;

/** Options of `dgate model eval`. */
export const evalOptions = {
  network: networkOption,
  checkpoint: option.text('weights: a file, or a known id'),
  ...weightsOptions,
  split: option.choice(['train', 'test'], 'which images', { default: 'test' }),
  limit: option.whole('only the first images'),
  engine: option.text('what executes it', { default: 'auto' }),
  json: option.flag('as JSON'),
} as const;

/** Options that override a part of the definition, applied after `--set`. @throws InputError */
export function optionOverrides(options: Partial<Omit<RunOptions, 'experiment'>>): { path: string; value: unknown }[] {
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

/** @throws InputError unless absent or the side of an image */
export const assertPixels = (name: string, value: number | undefined): void =>
  assertWhole(name, value, 'a whole number of pixels from 1 to 4096', 4096);

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
