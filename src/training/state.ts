import { z } from 'zod';
import { matchTensors, readCheckpoint, writeSafetensors } from '../checkpoints/load.js';
import { csvOf, tabulate } from '../csv.js';
import { InputError } from '../errors.js';
import { parseJson } from '../json.js';
import { type Network, networkTensors } from '../networks/network.js';
import { canonicalJson } from '../store/files.js';
import type { Tensor, TensorMap } from '../tensor.js';
import type { EngineDescription } from '../timing/record.js';

/** All tensors of a training, with PyTorch's names, shapes and orders. */
export interface TrainingTensors {
  /** The tensors of `networkTensors(network)`, running statistics included. */
  readonly weights: TensorMap;
  /** SGD's velocity of each trainable tensor, under its name. */
  readonly momenta: TensorMap;
}

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

export interface TrainingEngine {
  describe(): EngineDescription;
  /** Loads a network. @param tensors missing momenta are 0 */
  load(network: Network, recipe: Recipe, tensors: TrainingTensors): Promise<Trainer>;
}

/** The curve as CSV: a line per epoch, fractions, not percent. */
export function curveCsv(points: readonly CurvePoint[]): string {
  const { columns, rows } = tabulate<CurvePoint, number | string>(points, [
    ['epoch', ({ epoch }) => epoch],
    ['step', ({ step }) => step],
    ['learning_rate', ({ learningRate }) => learningRate],
    ['train_loss', ({ trainLoss }) => trainLoss],
    ['train_accuracy', ({ trainAccuracy }) => trainAccuracy],
    ['validation_accuracy', ({ validationAccuracy }) => validationAccuracy],
    ['seconds', ({ seconds }) => seconds.toFixed(1)],
  ]);
  return csvOf([columns, ...rows]);
}

// Files are not trusted: the schemas check every value.
const share = z.number().min(0).max(1);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** SGD with momentum and a cosine schedule, on augmented images. */
const recipeSchema = z.strictObject({
  epochs: count.min(1),
  batchSize: count.min(1),
  /** The highest rate, reached at the end of the warm-up. */
  learningRate: z.number().positive(),
  /** Share of all steps during which the rate rises from 0 to `learningRate`. */
  warmUpFraction: share,
  momentum: share,
  nesterov: z.boolean(),
  /** Added to the gradient as `weightDecay` x weight, as in PyTorch's SGD. */
  weightDecay: z.number().min(0),
  /** Whether batch norm's weight and bias decay too. */
  decayBatchNorm: z.boolean(),
  /** Share of the target that is spread over all classes. */
  labelSmoothing: share,
  /** Whether residual blocks start as the identity: the last batch norm of the body is 0 (Goyal et al. 2017). */
  zeroInitResidual: z.boolean(),
  /** Black pixels added around an image before it is cropped to its size at a random place. */
  cropPadding: count.max(64),
  /** Whether half of the images are mirrored left to right. */
  flip: z.boolean(),
  /** Share of the training images that are held out: 5,000 of CIFAR-10's 50,000. */
  heldOutFraction: z.number().min(0.001).max(0.999),
  /** Number of images to learn from; all that are not held out if absent. */
  trainImages: count.min(1).exactOptional(),
});
export type Recipe = Readonly<z.infer<typeof recipeSchema>>;

/** Everything that the result of a training depends on, except the machine. */
const trainingSchema = z.strictObject({
  network: z.string(),
  preset: z.enum(['paper', 'laptop', 'smoke']),
  recipe: recipeSchema,
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
  /** Of the epoch's completed steps: sum of the losses, number of correctly classified images. */
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

/** Checks that a state fits the network and its images. @throws InputError naming tensors that do not fit, or an impossible position */
export function checkState(state: TrainingState, network: Network, stepsPerEpoch: number, path: string): void {
  const { training, position, tensors } = state;
  const { epochs } = training.recipe;
  if (position.epoch > epochs || position.curve.length !== position.epoch || position.step >= stepsPerEpoch) {
    throw new InputError(
      `${path}: impossible position: epoch ${position.epoch}, step ${position.step}, ${position.curve.length} points of its ` +
        `curve, of ${epochs} epochs of ${stepsPerEpoch} steps; ${AGAIN}`,
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

export function describePosition({ epoch, step }: Pick<Position, 'epoch' | 'step'>): string {
  return `epoch ${epoch + 1}, after step ${step}`;
}
