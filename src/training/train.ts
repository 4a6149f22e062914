import { setImmediate as nextTurn } from 'node:timers/promises';
import { batchesOf } from '../data/images.js';
import { normalise } from '../data/preprocess.js';
import { decide } from '../gates/confidence.js';
import type { Network } from '../networks/network.js';
import type { Progress } from '../progress.js';
import type { TensorMap } from '../tensor.js';
import type { CurvePoint } from './curve.js';
import { epochBatches, stepsPerEpoch, type TrainingImages } from './images.js';
import { learningRateAt } from './recipe.js';
import { describePosition, type Position, type TrainingState } from './state.js';
import type { StepResult, Trainer, TrainingEngine } from './trainer.js';

/** Number of images in a validation batch. */
const VALIDATION_BATCH = 100;
/** Longest time between two checkpoints without `checkpointEvery`; each epoch's end also writes one. */
const CHECKPOINT_SECONDS = 300;

/** Thrown when the loss or a weight is no longer finite. */
export class Diverged extends Error {
  override readonly name = 'Diverged';
}

/** The environment of a training. */
export interface TrainOptions {
  readonly network: Network;
  readonly engine: TrainingEngine;
  readonly images: TrainingImages;
  readonly progress: Progress;
  /** Steps between two checkpoints; by time and epoch if absent. */
  readonly checkpointEvery?: number | undefined;
  /** Saves a finite state; calls never overlap. */
  save(state: TrainingState): Promise<void>;
}

/** A finished training. */
export interface Trained {
  readonly weights: TensorMap;
  readonly curve: readonly CurvePoint[];
}

/**
 * Trains from a state to the end; a new training starts with `position` 0 and initial tensors. The same state on the same
 * engine leads to the same weights, however often the training is interrupted and resumed.
 *
 * @throws Diverged if the loss is not finite; the last saved state is still finite
 */
export async function train(start: TrainingState, options: TrainOptions): Promise<Trained> {
  const { engine, network, images, progress } = options;
  const { training } = start;
  const trainer = await engine.load(network, training.recipe, start.tensors);
  const { epochs, batchSize } = training.recipe;
  const total = epochs * stepsPerEpoch(images, training.recipe);
  const before = globalStep(start.position, options, start);
  const task = progress.begin('training', (total - before) * batchSize, 'images');
  let position = start.position;
  try {
    while (position.epoch < epochs) {
      position = await trainEpoch(trainer, { ...start, position }, options, (now, result) => {
        const detail =
          `epoch ${now.epoch + 1} of ${epochs}, loss ${result.loss.toFixed(3)}, ` +
          `accuracy ${percent(now.correct / (now.step * batchSize))}`;
        task.update((globalStep(now, options, start) - before) * batchSize, detail);
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
  const clock = startClock(state.position.seconds);
  let position = state.position;
  let saved = { seconds: position.seconds, step: position.step };
  for await (const batch of epochBatches(images, recipe, seed, position.epoch, position.step)) {
    const rate = learningRateAt(recipe, globalStep(position, options, state), recipe.epochs * steps);
    const result = await trainer.step(batch.images, batch.labels, rate);
    if (!Number.isFinite(result.loss)) throw diverged(position, `loss ${result.loss}`);
    position = {
      ...position,
      step: position.step + 1,
      lossSum: position.lossSum + result.loss,
      correct: position.correct + result.correct,
      seconds: clock(),
    };
    report(position, result);
    const since = position.step - saved.step;
    const due = options.checkpointEvery
      ? since >= options.checkpointEvery
      : position.seconds - saved.seconds >= CHECKPOINT_SECONDS;
    if (due && position.step < steps) {
      await save(trainer, { ...state, position }, options);
      saved = { seconds: position.seconds, step: position.step };
    }
    await nextTurn(); // lets signals and the progress display run
  }
  const validationAccuracy = await validate(trainer, images);
  const point: CurvePoint = {
    epoch: position.epoch + 1,
    step: globalStep(position, options, state),
    learningRate: learningRateAt(recipe, globalStep(position, options, state) - 1, recipe.epochs * steps),
    trainLoss: position.lossSum / steps,
    trainAccuracy: position.correct / (steps * recipe.batchSize),
    validationAccuracy,
    seconds: clock(),
  };
  progress.note(
    `epoch ${point.epoch} of ${recipe.epochs}: loss ${point.trainLoss.toFixed(4)}, accuracy ` +
      `${percent(point.trainAccuracy)} in training, ${percent(validationAccuracy)} on the images held out`,
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
  if (bad !== undefined) throw diverged(state.position, `${bad[0]} is not finite`);
  await options.save({ ...state, tensors });
}

function diverged({ epoch, step }: Position, what: string): Diverged {
  return new Diverged(`${describePosition({ epoch, step })}: ${what}`);
}

/** The network's accuracy on the held-out images. */
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
function globalStep(position: Position, { images }: TrainOptions, { training }: TrainingState): number {
  return position.epoch * stepsPerEpoch(images, training.recipe) + position.step;
}

/** A clock in seconds that starts at `already`. */
function startClock(already: number): () => number {
  const started = performance.now();
  return () => already + (performance.now() - started) / 1000;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
