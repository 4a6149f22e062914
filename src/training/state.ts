import { rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { matchTensors, readCheckpoint, writeSafetensors } from '../checkpoints/load.js';

import { csvOf } from '../csv.js';
import { InputError } from '../errors.js';
import { parseJson } from '../json.js';
import { type Network, networkTensors } from '../networks/network.js';
import { canonicalJson, namesIn } from '../store/files.js';
import type { Tensor, TensorMap } from '../tensor.js';
import type { EngineDescription } from '../timing/record.js';
import { type Recipe, recipeNames } from './recipe.js';

/** All tensors of a training, with PyTorch's names, shapes and orders. */
export interface TrainingTensors {
  /** The tensors of `networkTensors(network)`, running statistics included. */
  readonly weights: TensorMap;
  /** SGD's velocity of each trainable tensor, under its name. */
  readonly momenta: TensorMap;
}

/** The result of a step. */
export interface StepResult {
  /** Mean loss of the batch, label smoothing included, before the step. */
  readonly loss: number;
  /** Number of the batch's images that were classified correctly. */
  readonly correct: number;
}

/** A network on an engine that can train it. */
export interface Trainer {
  /** @param images (labels.length, channels, height, width), normalised */
  step(images: Float32Array, labels: Int32Array, learningRate: number): Promise<StepResult>;
  /** Logits in evaluation mode, (count, classes). @param images (count, channels, height, width), normalised */
  logits(images: Float32Array, count: number): Promise<Float32Array>;
  /** Exact copies of all tensors. */
  tensors(): Promise<TrainingTensors>;
  close(): Promise<void>;
}

/** An engine that trains. */
export interface TrainingEngine {
  describe(): EngineDescription;
  /** Loads a network. @param tensors missing momenta are 0 */
  load(network: Network, recipe: Recipe, tensors: TrainingTensors): Promise<Trainer>;
}

const columns: readonly (readonly [string, keyof CurvePoint])[] = [
  ['epoch', 'epoch'],
  ['step', 'step'],
  ['learning_rate', 'learningRate'],
  ['train_loss', 'trainLoss'],
  ['train_accuracy', 'trainAccuracy'],
  ['validation_accuracy', 'validationAccuracy'],
  ['seconds', 'seconds'],
];

/** The curve as CSV: a line for each epoch, fractions, not percent. */
export function curveCsv(points: readonly CurvePoint[]): string {
  return csvOf([
    columns.map(([name]) => name),
    ...points.map((point) => columns.map(([, key]) => (key === 'seconds' ? point[key].toFixed(1) : point[key]))),
  ]);
}

// A state is read from a file that is not trusted, even with the right format: the schemas check every value.
const share = z.number().min(0).max(1);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const positive = z.number().positive();

/** Everything that the outcome of a training depends on, except the machine. */
const trainingSchema = z.strictObject({
  network: z.string(),
  preset: z.enum(recipeNames),
  recipe: z.strictObject({
    epochs: count.min(1),
    batchSize: count.min(1),
    learningRate: positive,
    warmUpFraction: share,
    momentum: share,
    nesterov: z.boolean(),
    weightDecay: z.number().min(0),
    decayBatchNorm: z.boolean(),
    labelSmoothing: share,
    zeroInitResidual: z.boolean(),
    cropPadding: count.max(64),
    flip: z.boolean(),
    heldOutFraction: z.number().min(0.001).max(0.999),
    trainImages: count.min(1).exactOptional(),
  }),
  seed: count,
  /** Id of the engine. */
  engine: z.string(),
  dataSha256: z.string(),
});

export type Training = Readonly<z.infer<typeof trainingSchema>>;

/** Results of an epoch. */
const curvePointSchema = z.strictObject({
  /** Epochs done, from 1. */
  epoch: count,
  /** Steps since the beginning of the training. */
  step: count,
  /** Rate of the epoch's last step. */
  learningRate: z.number(),
  /** Mean over the epoch's augmented images, during training. */
  trainLoss: z.number(),
  trainAccuracy: share,
  /** On the held-out images, at the epoch's end. */
  validationAccuracy: share,
  /** Seconds of training and validation so far, without interruptions. */
  seconds: z.number(),
});
export type CurvePoint = Readonly<z.infer<typeof curvePointSchema>>;

/** Progress of a training. */
const positionSchema = z.strictObject({
  /** Current epoch, from 0. */
  epoch: count,
  /** Completed steps of the epoch. */
  step: count,
  /** Sum of the losses of the epoch's completed steps, and number of correctly classified images. */
  lossSum: z.number(),
  correct: count,
  seconds: z.number().min(0),
  curve: z.array(curvePointSchema).readonly(),
});
export type Position = Readonly<z.infer<typeof positionSchema>>;

/** An interrupted training: its settings, progress and tensors. */
export interface TrainingState {
  readonly training: Training;
  readonly position: Position;
  readonly tensors: TrainingTensors;
}

const FORMAT = 'dgate training 1';
const MOMENTUM = 'momentum.';

/** Writes a state atomically, as safetensors: the network's tensors, and SGD's as `momentum.<name>`. */
export async function writeState(path: string, { training, position, tensors }: TrainingState): Promise<void> {
  const momenta = [...tensors.momenta].map(([name, tensor]): [string, Tensor] => [`${MOMENTUM}${name}`, tensor]);
  await writeSafetensors(path, new Map([...tensors.weights, ...momenta]), {
    format: FORMAT,
    training: canonicalJson(training),
    position: canonicalJson(position),
  });
}

/** Reads a state. @throws InputError if the file is missing, damaged or not a training state */
export async function readState(path: string): Promise<TrainingState> {
  const { tensors, metadata } = await readCheckpoint(path);
  if (metadata['format'] !== FORMAT) {
    throw new InputError(`${path}: not an interrupted training of this version; valid: what dgate train wrote`);
  }
  const training = parsed(trainingSchema, metadata, 'training', path);
  const position = parsed(positionSchema, metadata, 'position', path);
  const weights = new Map([...tensors].filter(([name]) => !name.startsWith(MOMENTUM)));
  const momenta = [...tensors].filter(([name]) => name.startsWith(MOMENTUM));
  const state = { weights, momenta: new Map(momenta.map(([name, tensor]) => [name.slice(MOMENTUM.length), tensor])) };
  return { training, position, tensors: state };
}

/**
 * Checks that a state fits the network and its images.
 *
 * @throws InputError naming every tensor that does not fit, or an impossible position
 */
export function checkState(state: TrainingState, network: Network, stepsPerEpoch: number, path: string): void {
  const { training, position, tensors } = state;
  const { epochs } = training.recipe;
  if (position.epoch > epochs || position.curve.length !== position.epoch || position.step >= stepsPerEpoch) {
    throw new InputError(
      `${path}: stands at epoch ${position.epoch}, step ${position.step}, with ${position.curve.length} points of its curve, ` +
        `of ${epochs} epochs of ${stepsPerEpoch} steps: no training does; ${AGAIN}`,
    );
  }
  const expected = networkTensors(network);
  const where = `${path} for ${network.name}`;
  matchTensors(expected, tensors.weights, where);
  const moved = expected.filter(({ name }) => tensors.momenta.has(name));
  matchTensors(moved, tensors.momenta, `${where}: momenta`);
}

function parsed<T>(
  schema: z.ZodType<T>,
  metadata: Readonly<Record<string, string>>,
  key: 'training' | 'position',
  path: string,
): T {
  let value: unknown;
  try {
    value = parseJson(metadata[key] ?? '', path);
  } catch {
    throw new InputError(`${path}: its ${key} is not JSON: damaged; ${AGAIN}`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path: at, message } = result.error.issues[0]!;
  throw new InputError(`${path}: ${[key, ...at].join('.')}: ${message}; ${AGAIN}`);
}

const AGAIN = 'valid: what dgate train wrote; otherwise start again with another --out';

/** The position of a training, in words. */
export function describePosition({ epoch, step }: Pick<Position, 'epoch' | 'step'>): string {
  return `epoch ${epoch + 1}, after step ${step}`;
}

/** Removes temporary files of killed processes beside a state; each is as large as the state. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const names = await namesIn(folder);
  const left = names.filter(
    (name) => name.startsWith(`${basename(path)}.`) && /\.[0-9a-f]{12}-\d+-[0-9a-f]{8}\.tmp$/.test(name),
  );
  for (const name of left) await rm(join(folder, name), { force: true });
}
