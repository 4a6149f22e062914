import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { matchTensors, readCheckpoint } from '../checkpoints/load.js';
import { writeSafetensors } from '../checkpoints/safetensors.js';
import { InputError } from '../errors.js';
import type { Network } from '../networks/network.js';
import { networkTensors } from '../networks/tensors.js';
import { canonicalJson } from '../store/files.js';
import type { Tensor } from '../tensor.js';
import type { CurvePoint } from './curve.js';
import { type Recipe, type RecipeName, recipeNames } from './recipe.js';
import type { TrainingTensors } from './trainer.js';

/** What a training is: all that its outcome depends on but the machine. */
export interface Training {
  readonly network: string;
  readonly preset: RecipeName;
  readonly recipe: Recipe;
  readonly seed: number;
  /** Id of the engine. */
  readonly engine: string;
  readonly dataSha256: string;
}

/** How far a training is. */
export interface Position {
  /** Epoch in progress, from 0. */
  readonly epoch: number;
  /** Steps done in it. */
  readonly step: number;
  /** Of the epoch's steps so far: sum of their losses, and images classified correctly. */
  readonly lossSum: number;
  readonly correct: number;
  readonly seconds: number;
  readonly curve: readonly CurvePoint[];
}

/** An interrupted training: what it is, where it stands, and its tensors. */
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

/** Reads a state. @throws InputError where the file is missing, damaged or something else */
export async function readState(path: string): Promise<TrainingState> {
  const { tensors, metadata } = await readCheckpoint(path);
  if (metadata['format'] !== FORMAT) {
    throw new InputError(`${path}: no interrupted training of this version; valid: what dgate train wrote`);
  }
  const training = parsed(trainingSchema, metadata, 'training', path);
  const position = parsed(positionSchema, metadata, 'position', path);
  const weights = new Map([...tensors].filter(([name]) => !name.startsWith(MOMENTUM)));
  const momenta = [...tensors].filter(([name]) => name.startsWith(MOMENTUM));
  const state = { weights, momenta: new Map(momenta.map(([name, tensor]) => [name.slice(MOMENTUM.length), tensor])) };
  return { training, position, tensors: state };
}

/**
 * Checks that a state that was read fits the network and its images.
 *
 * @throws InputError naming every tensor that does not fit, or the place that no training reaches
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

const share = z.number().min(0).max(1);
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const positive = z.number().positive();

/** A file that says of itself what `writeState` says may still come from anybody. */
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
  engine: z.string(),
  dataSha256: z.string(),
});

const positionSchema = z.strictObject({
  epoch: count,
  step: count,
  lossSum: z.number(),
  correct: count,
  seconds: z.number().min(0),
  curve: z.array(
    z.strictObject({
      epoch: count,
      step: count,
      learningRate: z.number(),
      trainLoss: z.number(),
      trainAccuracy: share,
      validationAccuracy: share,
      seconds: z.number().min(0),
    }),
  ),
});

function parsed<T>(
  schema: z.ZodType<T>,
  metadata: Readonly<Record<string, string>>,
  key: 'training' | 'position',
  path: string,
): T {
  let value: unknown;
  try {
    value = JSON.parse(metadata[key] ?? '');
  } catch {
    throw new InputError(`${path}: its ${key} is not JSON: damaged; ${AGAIN}`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path: at, message } = result.error.issues[0]!;
  throw new InputError(`${path}: ${[key, ...at].join('.')}: ${message}; ${AGAIN}`);
}

const AGAIN = 'valid: what dgate train wrote; otherwise begin again with another --out';

/** Where a training stands, in words. */
export function describePosition({ epoch, step }: Pick<Position, 'epoch' | 'step'>): string {
  return `epoch ${epoch + 1}, after step ${step}`;
}

/** Removes what kills in the middle of a write left beside a state: as large as the state itself. */
export async function removeLeftovers(path: string): Promise<void> {
  const folder = dirname(path);
  const names = await readdir(folder).catch((): string[] => []);
  const left = names.filter(
    (name) => name.startsWith(`${basename(path)}.`) && /\.[0-9a-f]{12}-\d+-[0-9a-f]{8}\.tmp$/.test(name),
  );
  for (const name of left) await rm(join(folder, name), { force: true });
}
