import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readCheckpoint } from '../checkpoints/load.js';
import { writeSafetensors } from '../checkpoints/safetensors.js';
import { InputError } from '../errors.js';
import { canonicalJson } from '../store/files.js';
import type { Tensor } from '../tensor.js';
import type { CurvePoint } from './curve.js';
import type { Recipe, RecipeName } from './recipe.js';
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
  const weights = new Map([...tensors].filter(([name]) => !name.startsWith(MOMENTUM)));
  const momenta = [...tensors].filter(([name]) => name.startsWith(MOMENTUM));
  return {
    training: parsed(metadata['training'], path) as Training,
    position: parsed(metadata['position'], path) as Position,
    tensors: { weights, momenta: new Map(momenta.map(([name, tensor]) => [name.slice(MOMENTUM.length), tensor])) },
  };
}

/** What `writeState` wrote, so that of this format only damage is to be feared. */
function parsed(text: string | undefined, path: string): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    throw new InputError(`${path}: damaged; begin again with another --out`);
  }
}

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
