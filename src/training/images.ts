import type { ImageShape, ImageSource } from '../data/dataset.js';
import { holdOut, type Indices, selectImages, stratifiedSubset } from '../data/images.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import { InputError } from '../errors.js';
import { Random } from '../random.js';
import type { Recipe } from './recipe.js';

/**
 * The order of the images in an epoch. It depends only on the seed and the epoch, so that a resumed training continues
 * unchanged.
 *
 * @param epoch counted from 0
 * @returns (count) positions, each once
 */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const positions = Int32Array.from({ length: count }, (_, i) => i);
  return new Random(seed, `order of epoch ${epoch}`).shuffle(positions);
}

/** The random numbers of one step's augmentation. */
export function stepRandom(seed: number, epoch: number, step: number): Random {
  return new Random(seed, `images of epoch ${epoch}, step ${step}`);
}

/**
 * Random crops after padding with black, and random mirroring: torchvision's `RandomCrop(size, padding)` and
 * `RandomHorizontalFlip()` on bytes.
 *
 * @param images (n, channels, height, width) bytes
 * @returns new images of the same shape
 */
export function augment(
  images: Uint8Array,
  { channels, height, width }: ImageShape,
  { cropPadding, flip }: Pick<Recipe, 'cropPadding' | 'flip'>,
  random: Random,
): Uint8Array {
  const out = new Uint8Array(images.length);
  const imageBytes = channels * height * width;
  for (let image = 0; image < images.length; image += imageBytes) {
    const down = random.below(2 * cropPadding + 1) - cropPadding;
    const right = random.below(2 * cropPadding + 1) - cropPadding;
    const mirrored = flip && random.below(2) === 1;
    for (let row = 0; row < channels * height; row++) {
      const y = (row % height) + down;
      if (y < 0 || y >= height) continue; // stays black
      const from = image + (row - (row % height) + y) * width;
      copyRow(images, from, out, image + row * width, width, right, mirrored);
    }
  }
  return out;
}

/** out[x] = row[x + shift] where x + shift is in the row, then mirrored. */
function copyRow(
  source: Uint8Array,
  from: number,
  out: Uint8Array,
  to: number,
  width: number,
  shift: number,
  mirrored: boolean,
): void {
  const first = Math.max(0, -shift);
  const last = Math.min(width, width - shift);
  for (let x = first; x < last; x++) out[to + (mirrored ? width - 1 - x : x)] = source[from + x + shift]!;
}

/** The images of a training, in two disjoint parts. */
export interface TrainingImages {
  /** Images that the network learns from. */
  readonly learn: ImageSource;
  readonly validation: ImageSource;
  /** Positions of the validation images among the training images, ascending. */
  readonly heldOut: Indices;
  readonly preprocessing: Preprocessing;
  /** Content id of all the training images. */
  readonly dataSha256: string;
}

/**
 * Divides the training images into images to learn from and held-out images.
 *
 * @throws InputError if there are fewer images than the recipe needs
 */
export function divideImages(
  train: ImageSource,
  preprocessing: Preprocessing,
  recipe: Recipe,
  seed: number,
): TrainingImages {
  const classes = train.classes.length;
  const { rest, held } = holdOut(train.labels, classes, Math.round(recipe.heldOutFraction * train.count), seed);
  const whole = selectImages(train, rest);
  const { trainImages: wanted } = recipe;
  if (wanted !== undefined && wanted > whole.count) {
    throw new InputError(
      `--train-images ${wanted}; valid: 2 to ${whole.count}: ${held.length} of ${train.count} are held out`,
    );
  }
  const learn =
    wanted === undefined ? whole : selectImages(whole, stratifiedSubset(whole.labels, classes, wanted, seed));
  if (learn.count < recipe.batchSize) {
    throw new InputError(`--batch-size ${recipe.batchSize}; valid: 2 to ${learn.count}, the images to learn from`);
  }
  return {
    learn,
    validation: selectImages(train, held),
    heldOut: held,
    preprocessing,
    dataSha256: train.sha256,
  };
}

/** Steps of an epoch: images of an incomplete batch are left to other epochs. */
export function stepsPerEpoch(images: TrainingImages, recipe: Recipe): number {
  return Math.floor(images.learn.count / recipe.batchSize);
}

/** A step's batch, augmented and normalised. */
export interface TrainingBatch {
  /** (labels.length, channels, height, width) */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** Batches of an epoch, starting at a step; each depends only on seed, epoch and step. */
export async function* epochBatches(
  { learn, preprocessing }: TrainingImages,
  recipe: Recipe,
  seed: number,
  epoch: number,
  firstStep: number,
): AsyncGenerator<TrainingBatch> {
  const { batchSize } = recipe;
  const order = epochOrder(learn.count, seed, epoch);
  for (let step = firstStep; (step + 1) * batchSize <= learn.count; step++) {
    const positions = order.subarray(step * batchSize, (step + 1) * batchSize);
    const bytes = augment(await learn.batch(positions), learn, recipe, stepRandom(seed, epoch, step));
    yield {
      images: normalise(bytes, preprocessing, learn.height * learn.width),
      labels: Int32Array.from(positions, (position) => learn.labels[position]!),
    };
  }
}
