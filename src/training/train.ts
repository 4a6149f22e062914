import { setImmediate as nextTurn } from 'node:timers/promises';
import { batchesOf } from '../data/dataset.js';
import { normalise } from '../data/preprocess.js';
import { InputError } from '../errors.js';
import { decide } from '../gates/confidence.js';
import { percent } from '../json.js';
import { type Layer, type Network, networkTensors } from '../networks/network.js';
import type { Progress } from '../progress.js';
import { normals, Random } from '../random.js';
import type { Tensor } from '../tensor.js';
import {
  epochBatches,
  learningRateAt,
  overrides,
  type RecipeName,
  recipes,
  stepsPerEpoch,
  type TrainingImages,
} from './recipe.js';
import {
  type CurvePoint,
  describePosition,
  type Position,
  type StepResult,
  type Trainer,
  type Training,
  type TrainingEngine,
  type TrainingState,
} from './state.js';

/** Images per validation batch. */
const VALIDATION_BATCH = 100;
/** Interval of checkpoints without `checkpointEvery`, besides those at the ends of epochs. */
const CHECKPOINT_SECONDS = 300;

/** The loss or a weight is no longer finite. */
export class Diverged extends Error {
  override readonly name = 'Diverged';
}

interface TrainOptions {
  readonly network: Network;
  readonly engine: TrainingEngine;
  readonly images: TrainingImages;
  readonly progress: Progress;
  /** Steps between two checkpoints; by time and epoch if absent. */
  readonly checkpointEvery?: number | undefined;
  /** Saves a finite state; calls never overlap. */
  save(state: TrainingState): Promise<void>;
}

/**
 * Trains from a state to the end. The same state and engine give the same weights, however often the training is interrupted.
 *
 * @throws Diverged if the loss is not finite; the last saved state is still finite
 */
export async function train(start: TrainingState, options: TrainOptions) {
  const { engine, network, images, progress } = options;
  const { recipe } = start.training;
  const trainer = await engine.load(network, recipe, start.tensors);
  const { epochs, batchSize } = recipe;
  const steps = stepsPerEpoch(images, recipe);
  const before = stepsDone(start.position, steps);
  const task = progress.begin('training', (epochs * steps - before) * batchSize, 'images');
  let position = start.position;
  try {
    while (position.epoch < epochs) {
      position = await trainEpoch(trainer, { ...start, position }, options, (now, result) => {
        const detail =
          `epoch ${now.epoch + 1} of ${epochs}, loss ${result.loss.toFixed(3)}, ` +
          `accuracy ${percent(now.correct / (now.step * batchSize), 2)}`;
        task.update((stepsDone(now, steps) - before) * batchSize, detail);
      });
    }
    return { weights: (await trainer.tensors()).weights, curve: position.curve };
  } finally {
    task.end();
    await trainer.close();
  }
}

/** Trains the rest of an epoch and validates. @returns the start of the next epoch */
async function trainEpoch(
  trainer: Trainer,
  state: TrainingState,
  options: TrainOptions,
  report: (position: Position, result: StepResult) => void,
): Promise<Position> {
  const { images, progress } = options;
  const { recipe, seed } = state.training;
  const steps = stepsPerEpoch(images, recipe);
  const began = performance.now() - 1000 * state.position.seconds;
  const seconds = (): number => (performance.now() - began) / 1000;
  let position = state.position;
  let saved = position;
  for await (const batch of epochBatches(images, recipe, seed, position.epoch, position.step)) {
    const rate = learningRateAt(recipe, stepsDone(position, steps), recipe.epochs * steps);
    const result = await trainer.step(batch.images, batch.labels, rate);
    if (!Number.isFinite(result.loss)) throw new Diverged(`${describePosition(position)}: loss ${result.loss}`);
    position = {
      ...position,
      step: position.step + 1,
      lossSum: position.lossSum + result.loss,
      correct: position.correct + result.correct,
      seconds: seconds(),
    };
    report(position, result);
    const since = position.step - saved.step;
    const due = options.checkpointEvery
      ? since >= options.checkpointEvery
      : position.seconds - saved.seconds >= CHECKPOINT_SECONDS;
    if (due && position.step < steps) {
      await save(trainer, { ...state, position }, options);
      saved = position;
    }
    await nextTurn(); // lets signals and the progress display run
  }
  const validationAccuracy = await validate(trainer, images);
  const point: CurvePoint = {
    epoch: position.epoch + 1,
    step: stepsDone(position, steps),
    learningRate: learningRateAt(recipe, stepsDone(position, steps) - 1, recipe.epochs * steps),
    trainLoss: position.lossSum / steps,
    trainAccuracy: position.correct / (steps * recipe.batchSize),
    validationAccuracy,
    seconds: seconds(),
  };
  progress.note(
    `epoch ${point.epoch} of ${recipe.epochs}: loss ${point.trainLoss.toFixed(4)}, accuracy ` +
      `${percent(point.trainAccuracy, 2)} in training, ${percent(validationAccuracy, 2)} on the images held out`,
  );
  const curve = [...position.curve, point];
  const next: Position = { epoch: point.epoch, step: 0, lossSum: 0, correct: 0, seconds: point.seconds, curve };
  await save(trainer, { ...state, position: next }, options);
  return next;
}

/** Saves a state. @throws Diverged if a weight is not finite */
async function save(trainer: Trainer, state: TrainingState, options: TrainOptions): Promise<void> {
  const tensors = await trainer.tensors();
  const bad = [...tensors.weights].find(([, { data }]) => !data.every(Number.isFinite));
  if (bad !== undefined) throw new Diverged(`${describePosition(state.position)}: ${bad[0]} is not finite`);
  await options.save({ ...state, tensors });
}

/** Accuracy on the held-out images. */
async function validate(trainer: Trainer, { validation, preprocessing }: TrainingImages): Promise<number> {
  let correct = 0;
  for await (const { images, labels, count } of batchesOf(validation, VALIDATION_BATCH)) {
    const logits = await trainer.logits(normalise(images, preprocessing, validation.height * validation.width), count);
    const { classes } = decide(logits, validation.classes.length, 'max');
    correct += classes.filter((predicted, i) => predicted === labels[i]).length;
    await nextTurn();
  }
  return correct / validation.count;
}

/** Steps since the beginning of the training. */
const stepsDone = ({ epoch, step }: Position, perEpoch: number): number => epoch * perEpoch + step;

/**
 * Initial tensors. Convolutions: normal with variance 2 / fan-in (He et al. 2015); the classifier: uniform within
 * 1 / sqrt(fan-in), PyTorch's default; batch norm: the identity. The same seed and name give the same values in any network.
 *
 * @param zeroInitResidual whether the last batch norm of each residual block's body starts with weight 0
 */
export function initialTensors(network: Network, seed: number, zeroInitResidual: boolean): Map<string, Tensor> {
  const zeroed = zeroInitResidual ? lastNormsOfResiduals(network) : new Set<string>();
  const { name: classifier, in: inputs } = network.classifier;
  return new Map(
    networkTensors(network).map(({ name, shape, count }): [string, Tensor] => {
      const random = new Random(seed, `initial ${name}`);
      const data = new Float32Array(count);
      const normal = normals(random, Math.sqrt(2 / (count / shape[0]!)));
      const limit = 1 / Math.sqrt(inputs);
      if (shape.length === 4) for (let i = 0; i < count; i++) data[i] = normal();
      else if (name.startsWith(`${classifier}.`))
        for (let i = 0; i < count; i++) data[i] = limit * (2 * random.uniform() - 1);
      else if (name.endsWith('.weight')) data.fill(zeroed.has(name) ? 0 : 1);
      else if (name.endsWith('.running_var')) data.fill(1);
      return [name, { shape, data }];
    }),
  );
}

/** Weights of the last batch norm of each residual block. */
function lastNormsOfResiduals(network: Network): Set<string> {
  const layers: Layer[] = network.stages.flatMap((stage) => stage.layers);
  return new Set(
    layers.flatMap((layer) => {
      const last = layer.op === 'residual' ? layer.body.at(-1) : undefined;
      return last?.op === 'batchNorm' ? [`${last.name}.weight`] : [];
    }),
  );
}

/** Options of a command. The default of an absent one is its earlier value when resuming. */
type TrainingWish = { readonly [Key in keyof typeof overrides | 'seed']?: number | undefined } & {
  readonly preset?: RecipeName | undefined;
};

const overriding = Object.keys(overrides) as (keyof typeof overrides)[];

/** The settings of a new training. */
export type TrainingPlan = Pick<Training, 'preset' | 'recipe' | 'seed'>;

/** The plan of a new training. @throws InputError naming every invalid value */
export function planTraining(wish: TrainingWish): TrainingPlan {
  const { preset = 'laptop', seed = 0 } = wish;
  if (!Number.isSafeInteger(seed) || seed < 0) throw new InputError(`--seed ${seed}; valid: a whole number from 0`);
  const given = overriding.flatMap((key) => (wish[key] === undefined ? [] : [[key, wish[key]] as const]));
  const problems = given.flatMap(([key, value]) => {
    const { least, most, whole, option } = overrides[key];
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) return [];
    const valid = whole ? `a whole number from ${least} to ${most}` : 'a number above 0';
    return [`${option} ${value}; valid: ${valid}`];
  });
  if (problems.length > 0) throw new InputError(problems);
  return { preset, recipe: { ...recipes[preset], ...Object.fromEntries(given) }, seed };
}

/** Checks that a command may resume a training. @throws InputError naming every option that differs */
export function checkResumed(
  begun: Training,
  wish: TrainingWish & { readonly network: string; readonly engine: string; readonly dataSha256: string },
  where: string,
): void {
  const { recipe } = begun;
  const settings: readonly (readonly [string, was: string | number, asked: string | number | undefined])[] = [
    ['network', begun.network, wish.network],
    ['--preset', begun.preset, wish.preset],
    ['--seed', begun.seed, wish.seed],
    ...overriding.map((key) => [overrides[key].option, recipe[key] ?? 'all', wish[key]] as const),
    ['--engine', begun.engine, wish.engine === 'auto' ? undefined : wish.engine],
    ['the training images', begun.dataSha256, wish.dataSha256],
  ];
  const problems = settings.flatMap(([name, was, asked]) => {
    if (asked === undefined || asked === was) return [];
    return [`${where}: was started with ${name} ${was}, not ${asked}; valid: the same, or another --out`];
  });
  if (problems.length > 0) throw new InputError(problems);
}
