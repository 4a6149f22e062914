import { stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { fetchCheckpoint } from '../checkpoints/fetch.js';
import {
  checkpointOfHash,
  checkpointsFor,
  findCheckpoint,
  type KnownCheckpoint,
  knownCheckpoints,
  shippedFor,
} from '../checkpoints/known.js';
import { readCheckpoint, type Weights, type WeightsChoice, weightsOf } from '../checkpoints/load.js';
import type { Dataset } from '../data/dataset.js';
import { checkPreprocessing, type Preprocessing } from '../data/preprocess.js';
import { datasetNamed } from '../data/registry.js';
import type { Resizing } from '../data/resample.js';
import { InputError, ifThere } from '../errors.js';
import { parseJson } from '../json.js';
import { lowerNetwork } from '../networks/lower.js';
import { type Network, networkTensors } from '../networks/network.js';
import type { AnyNetwork } from '../networks/onnx.js';
import type { LoadedNetwork } from '../onnx/network.js';
import type { Progress } from '../progress.js';
import { projectRoot } from '../project.js';
import { hashFile } from '../store/files.js';

/** A network with a checkpoint; its weights are read on demand. */
export interface NetworkSource {
  /** The networks before it in a cascade, from the cheapest; absent for one network alone. */
  readonly earlier?: readonly NetworkSource[];
  readonly network: AnyNetwork;
  /** Its images, if its name does not tell. */
  readonly dataset?: Dataset;
  readonly checkpoint: CheckpointFile;
  /** The chosen weights of the checkpoint's file; absent for those that fit. */
  readonly weights?: WeightsChoice;
  readonly preprocessing: Preprocessing;
  /** Of a network made 8-bit (`int8.ts`): the training images that its ranges come from. */
  readonly int8?: number;
  /** In a cascade, how its pixels are made from those of the last network, as in one graph. */
  readonly resizing?: Resizing & { readonly preprocessing: Preprocessing };
  /** Why it cannot read the images of its dataset; in a cascade, the pixels of the last network. */
  readonly misfit?: string;
  /** Modules below `src` that read its weights and its images: part of the identity of its features. */
  readonly modules: readonly string[];
  /** Ascending positions of training images that the network has not learnt from. @throws InputError if it names none */
  readonly heldOut: () => Promise<Int32Array>;
  /** The network with its weights. @throws InputError if the file is damaged or does not fit the network */
  readonly lowered: () => Promise<LoadedNetwork>;
}

/** A network with those before it in a cascade, in order. */
export const networksOf = (source: NetworkSource): NetworkSource[] => [...(source.earlier ?? []), source];

export interface CheckpointFile {
  readonly path: string;
  readonly sha256: string;
  /** The registry's entry with this hash, if there is one. */
  readonly known: KnownCheckpoint | undefined;
}

/**
 * Opens a network's checkpoint: a file by path, a known one by id (fetched if missing), or by default the one that ships.
 *
 * @throws InputError if there is none, or it belongs to another network
 */
export async function openNetwork(
  network: Network,
  idOrPath: string | undefined,
  modelsRoot: string,
  progress: Progress,
  { key, ignore }: WeightsChoice = {},
): Promise<NetworkSource> {
  const weightsChoice: WeightsChoice = { key, ignore };
  const path = await locate(network, idOrPath, modelsRoot, progress);
  const sha256 = await hashFile(path);
  const known = checkpointOfHash(sha256);
  const content = once(async () => {
    const read = await readCheckpoint(path);
    if (read.sha256 === sha256) return read;
    throw new InputError(`${path}: changed while it was read (its sha256 differs); valid: a file that stays as it is`);
  });
  const weights = once(async () => {
    const { dictionaries } = await content();
    const found = weightsOf(networkTensors(network), dictionaries, `${path} for ${network.name}`, weightsChoice);
    if (found.taken !== undefined) progress.note(`${path}: ${found.taken}`);
    if (found.doubt !== undefined && known === undefined) progress.warn(`${path}: ${found.doubt}`);
    return found;
  });
  const recorded = async (): Promise<Preprocessing> => {
    const text = (await content()).metadata['preprocessing'];
    return text === undefined
      ? preprocessingOf(await weights(), path, network, progress)
      : parsePreprocessing(text, path);
  };
  return {
    network,
    checkpoint: { path, sha256, known },
    ...(Object.values(weightsChoice).some((part) => part !== undefined) && { weights: weightsChoice }),
    modules: ['checkpoints/load', 'networks/lower', 'data/registry'],
    preprocessing: known?.preprocessing ?? (await recorded()),
    heldOut: async () => parseHeldOut((await content()).metadata['held_out'], path),
    lowered: once(async () => lowerNetwork(network, (await weights()).tensors)),
  };
}

export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work();
    return result;
  };
}

async function locate(
  network: Network,
  idOrPath: string | undefined,
  modelsRoot: string,
  progress: Progress,
): Promise<string> {
  const found = await namedCheckpoint(network, idOrPath);
  return typeof found === 'string' ? found : obtainCheckpoint(found, modelsRoot, progress);
}

/**
 * The checkpoint that a name stands for, which need not be here yet.
 *
 * @param idOrPath undefined: the one that ships
 * @returns a file's path, or a known checkpoint
 * @throws InputError if there is none
 */
export async function namedCheckpoint(
  network: Network,
  idOrPath: string | undefined,
): Promise<string | KnownCheckpoint> {
  const fitting = checkpointsFor(network.name).map((known) => known.id);
  const fits = fitting.length > 0 ? `; known for ${network.name}: ${fitting.join(', ')}` : '';
  if (idOrPath === undefined) {
    const shipped = shippedFor(network.name);
    if (shipped !== undefined) return shipped;
    throw new InputError(`${network.name}: no checkpoint; valid: --checkpoint FILE or ID${fits}`);
  }
  const found = await ifThere(idOrPath, stat(idOrPath));
  if (found?.isDirectory()) {
    throw new InputError(`checkpoint ${idOrPath}: a folder; valid: a file, or the id of a known one${fits}`);
  }
  if (found !== undefined) return idOrPath;
  if (!knownCheckpoints.some((known) => known.id === idOrPath)) {
    throw new InputError(
      `checkpoint ${idOrPath}: no such file and no known checkpoint; see: dgate list checkpoints${fits}`,
    );
  }
  const known = findCheckpoint(idOrPath);
  if (known.network === network.name) return known;
  throw new InputError(`checkpoint ${known.id} is of ${known.network}, not of ${network.name}${fits}`);
}

/** Path of a known checkpoint, fetched if it does not ship and is missing. */
export async function obtainCheckpoint(
  known: KnownCheckpoint,
  modelsRoot: string,
  progress: Progress,
): Promise<string> {
  if (known.shipped === undefined) return (await fetchCheckpoint(known, modelsRoot, progress)).path;
  const path = fileURLToPath(new URL(`experiments/checkpoints/${known.shipped}`, projectRoot));
  if ((await hashFile(path)).startsWith(known.sha256 ?? '')) return path;
  throw new InputError(`${path}: is not the file that ships as ${known.id} (its sha256 differs); install dgate again`);
}

/** The normalisation of the saved model, otherwise the dataset's; reports which. */
function preprocessingOf(
  { normalisation }: Weights,
  path: string,
  network: Network,
  progress: Progress,
): Preprocessing {
  const { preprocessing, name } = datasetNamed(network.dataset);
  if (normalisation !== undefined) {
    const { mean, std } = normalisation;
    progress.note(`${path}: the saved model normalises: mean ${mean.join(', ')}, std ${std.join(', ')}`);
    return { ...preprocessing, mean, std };
  }
  progress.warn(
    `${path}: says nothing about its preprocessing; taking that of ${name}: mean ${preprocessing.mean.join(', ')}, ` +
      `std ${preprocessing.std.join(', ')} (dgate model import --mean --std records another)`,
  );
  return preprocessing;
}

/** @throws InputError if the text is not `{"mean": [...], "std": [...]}` */
export function parsePreprocessing(text: string, where: string): Preprocessing {
  try {
    const { mean, std, ...sizes } = parseJson(text, where) as Preprocessing;
    const preprocessing = { mean: mean.map(Number), std: std.map(Number) };
    checkPreprocessing(preprocessing);
    return { ...sizes, ...preprocessing };
  } catch (error) {
    throw new InputError(`${where}: preprocessing ${text}; valid: {"mean": [r, g, b], "std": [r, g, b]}`, {
      cause: error,
    });
  }
}

/** @throws InputError if the text is missing or not a strictly ascending list of positions */
export function parseHeldOut(text: string | undefined, where: string): Int32Array {
  if (text === undefined) {
    throw new InputError(
      `${where}: does not name the images that were held out of its training; valid: a checkpoint of dgate train, ` +
        "or thresholds.validation { kind: 'cross-fit' }",
    );
  }
  const positions = /^\s*\[[\d,\s]*\]\s*$/.test(text) ? (parseJson(text, `${where}: held_out`) as number[]) : [];
  if (positions.length > 0 && positions.every((position, i) => i === 0 || position > positions[i - 1]!)) {
    return Int32Array.from(positions);
  }
  throw new InputError(`${where}: held_out is not a list of image positions in ascending order`);
}
