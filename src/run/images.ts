import {
  type ImageShape,
  type ImageSource,
  type PublishedSplit,
  selectImages,
  stratifiedSubset,
} from '../data/dataset.js';
import { unlabelledImages } from '../data/image-folder/index.js';
import { otherFilesBelow } from '../data/image-folder/listing.js';
import { datasetNamed } from '../data/registry.js';
import { resizedImages } from '../data/resample.js';
import { InputError } from '../errors.js';
import { isScores, learns } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import { decide } from '../gates/confidence.js';
import { classCount } from '../networks/onnx.js';
import { runBatches } from './batches.js';
import { LazyEngine, type RunContext } from './context.js';
import type { Split } from './extract.js';
import { eachInTurn, type Plan } from './plan.js';
import { type NetworkSource, networksOf } from './source.js';

/** The images of a run; no image is in two of them. */
export type Images = BySplit<ImageSource>;

/** Opens a published split of the network's dataset; fetches a missing dataset. */
export async function openSplit(
  context: RunContext,
  source: NetworkSource,
  split: PublishedSplit,
): Promise<ImageSource> {
  const dataset = source.dataset ?? datasetNamed(source.network.dataset, context.datasets);
  const outputs = classCount(source.network);
  if (dataset.classes.length !== outputs) {
    throw new InputError(
      `${source.network.name}: ${outputs} outputs, ${dataset.name} has ${dataset.classes.length} classes; try a network with an output for each class`,
    );
  }
  const { dataRoot, progress, download } = context;
  if (!(await dataset.isThere(dataRoot))) {
    await source.lowered(); // checks the checkpoint before a long download
    progress.note(`${dataset.name}: not in the cache; fetching it from ${dataset.sources[0]}`);
    await dataset.fetch({ root: dataRoot, from: dataset.sources[0]!, progress, download });
  }
  const { resizing } = source;
  if (resizing === undefined) return dataset.load(dataRoot, split, source.preprocessing);
  return resizedImages(await dataset.load(dataRoot, split, resizing.preprocessing), resizing);
}

/** Images without labels. @throws InputError if their size does not fit the network */
async function openUnlabelled(
  { datasets, progress }: RunContext,
  source: NetworkSource,
  folder: string,
): Promise<ImageSource> {
  const { network, dataset, preprocessing } = source;
  const { channels, height, width } = network.input;
  // The networks of a cascade may name no dataset.
  const { classes } =
    dataset ??
    (network.dataset === '' ? { classes: numbers(classCount(network)) } : datasetNamed(network.dataset, datasets));
  const images = unlabelledImages(folder, preprocessing, height, classes);
  for (const line of otherFilesBelow(folder)) progress.note(line);
  const sizeOf = (of: ImageShape): string => `${of.channels} x ${of.height} x ${of.width}`;
  if (sizeOf(images) === sizeOf(network.input)) return images;
  const valid = `preprocess { mean, std, resize, crop: ${height} } for ${channels} x ${height} x ${width}`;
  throw new InputError(
    `${network.name}: takes ${sizeOf(network.input)}, ${folder} gives ${sizeOf(images)}; valid: ${valid}`,
  );
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

/** The networks of an experiment in order, with their images; training images only for those with gates. */
export function openMembers(context: RunContext, experiment: Experiment, planned: Plan, source: NetworkSource) {
  return eachInTurn(networksOf(source), async (each, i) => {
    const own = planned.members?.[i] ?? planned;
    const { train, ...others } = await openImages(context, experiment, each);
    const learnt = own.places.length > 0 && train !== undefined ? { train } : {};
    const images: Images = { ...learnt, ...others };
    return { source: each, plan: own, images };
  });
}

/** The images of all networks of a cascade: the last one's, and the training images of gates inside others. */
export const imagesOfAll = (members: readonly { readonly images: Images }[]): Images =>
  Object.assign({}, ...members.map(({ images }) => images)) as Images;

export async function openImages(context: RunContext, experiment: Experiment, source: NetworkSource): Promise<Images> {
  const { seed, trainImages, testImages, unlabelled } = experiment;
  const { validation } = experiment.thresholds;
  const isLearning = learns(experiment.network);
  const train = isLearning || validation.kind === 'held-out' ? await openSplit(context, source, 'train') : undefined;
  const reported =
    unlabelled === undefined ? openSplit(context, source, 'test') : openUnlabelled(context, source, unlabelled);
  const test = subset(await reported, testImages, seed, 'testImages');
  if (validation.kind === 'cross-fit' && testImages !== undefined && testImages < validation.folds) {
    throw new InputError(`testImages: ${testImages}; valid: at least ${validation.folds}, one for each fold`);
  }
  if (train === undefined) return { test };
  if (validation.kind === 'cross-fit') return { train: subset(train, trainImages, seed, 'trainImages'), test };
  if (isScores(experiment.network)) return { heldOut: train, test };
  const held = await source.heldOut();
  const others = selectImages(train, allBut(held, train.count, source));
  return {
    ...(isLearning && { train: subset(others, trainImages, seed, 'trainImages') }),
    heldOut: selectImages(train, held),
    test,
  };
}

/** Content ids of the images of a run. */
export function hashesOf(images: Images): Record<string, string> {
  return Object.fromEntries(Object.entries(images).map(([split, { sha256: hash }]) => [split, hash]));
}

/** The positions that are not held out, ascending. */
function allBut(held: Int32Array, count: number, { checkpoint }: NetworkSource): Int32Array {
  if (held.at(-1)! >= count || held.length === count) {
    const found = `${held.length} images up to position ${held.at(-1)}`;
    throw new InputError(`${checkpoint.path}: held_out names ${found}; valid: some of the ${count} training images`);
  }
  const isHeld = new Set(held);
  return Int32Array.from({ length: count }, (_, i) => i).filter((i) => !isHeld.has(i));
}

function subset(images: ImageSource, count: number | undefined, seed: number, option: string): ImageSource {
  if (count === undefined || count === images.count) return images;
  if (count > images.count) throw new InputError(`${option}: ${count}; valid: 1 to ${images.count}`);
  const strata = images.labels.map((label) => Math.max(0, label)); // images without labels are one stratum
  return selectImages(images, stratifiedSubset(strata, images.classes.length, count, seed));
}

/** A value for each split of the images. */
export interface BySplit<T> {
  /** For gates; absent if nothing is trained. */
  readonly train?: T;
  /** Training images that the network has not learnt from, if they choose thresholds. */
  readonly heldOut?: T;
  readonly test: T;
}

/** Applies a function to each split in order; absent splits stay absent. */
export async function mapSplits<T, U>(
  { train, heldOut, test }: BySplit<T>,
  map: (item: T, label: Split, key: keyof BySplit<T>) => U | Promise<U>,
): Promise<BySplit<U>> {
  return {
    ...(train !== undefined && { train: await map(train, 'training', 'train') }),
    ...(heldOut !== undefined && { heldOut: await map(heldOut, 'held-out', 'heldOut') }),
    test: await map(test, 'test', 'test'),
  };
}

/** The present splits in order. */
export function everySplit<T>({ train, heldOut, test }: BySplit<T>): T[] {
  return [train, heldOut, test].filter((split) => split !== undefined);
}

/** What `dgate model eval` reports. */
export interface OriginalEvaluation {
  readonly network: string;
  readonly engine: string;
  /** Share classified correctly, 0 to 1. */
  readonly accuracy: number;
  readonly images: number;
  /** Seconds in the network, loading not included. */
  readonly seconds: number;
}

/** Accuracy of the original network on a split, without the cache. */
export async function evaluateOriginal(
  context: RunContext,
  source: NetworkSource,
  options: { readonly split: PublishedSplit; readonly limit?: number | undefined; readonly engine: string },
): Promise<OriginalEvaluation> {
  const engine = new LazyEngine(options.engine);
  const lowered = await source.lowered();
  const images = await openSplit(context, source, options.split);
  const limit = options.limit ?? images.count;
  if (!Number.isInteger(limit) || limit < 1) throw new InputError(`--limit ${limit}; valid: 1 to ${images.count}`);
  const count = Math.min(limit, images.count);
  const loaded = await (await engine.get()).loadFeatures(lowered, []);
  const label = `${source.network.name} on ${count.toLocaleString('en')} ${options.split} images`;
  const task = context.progress.begin(label, count, 'images');
  const start = performance.now();
  let done = 0;
  let correct = 0;
  try {
    const batches = runBatches(loaded, images, source.preprocessing, engine.entry.device, [{ start: 0, end: count }]);
    for await (const { result, positions, count: size } of batches) {
      const { classes } = decide(result.logits, images.classes.length, 'max');
      correct += classes.filter((predicted, i) => predicted === images.labels[positions[i]!]).length;
      done += size;
      task.update(done);
    }
  } finally {
    await loaded.close();
  }
  task.end();
  const seconds = (performance.now() - start) / 1000;
  return { network: source.network.name, engine: engine.entry.id, accuracy: correct / count, images: count, seconds };
}
