import type { ImageSource } from '../data/dataset.js';
import { selectImages } from '../data/images.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import { holdOut, type Indices, stratifiedSubset } from '../data/splits.js';
import { InputError } from '../errors.js';
import { augment, epochOrder, stepRandom } from './augment.js';
import type { Recipe } from './recipe.js';

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
