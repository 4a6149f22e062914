import { holdOut, type ImageShape, type ImageSource, selectImages, stratifiedSubset } from '../data/dataset.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import { InputError } from '../errors.js';
import { Random } from '../random.js';
import type { Recipe, Training } from './state.js';

export type RecipeName = Training['preset'];

const common = { momentum: 0.9, weightDecay: 5e-4, batchSize: 128, cropPadding: 4, flip: true, heldOutFraction: 0.1 };

const laptop: Recipe = {
  ...common,
  epochs: 20,
  learningRate: 0.2,
  warmUpFraction: 0.2,
  nesterov: true,
  decayBatchNorm: false,
  labelSmoothing: 0.1,
  zeroInitResidual: true,
};

export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  /**
   * The recipe of kuangliu/pytorch-cifar, the source of the paper's networks, plus a warm-up over 5 of 200 epochs: large first
   * steps can make a network diverge (Goyal et al. 2017, section 2.2).
   */
  paper: {
    ...common,
    epochs: 200,
    learningRate: 0.1,
    warmUpFraction: 5 / 200,
    nesterov: false,
    decayBatchNorm: true,
    labelSmoothing: 0,
    zeroInitResidual: false,
  },
  /** For small networks on two cores: the rate to 0.2 within the first fifth, then down a cosine. */
  laptop,
  /** Checks that everything works, in seconds for a small network. */
  smoke: { ...laptop, epochs: 2, batchSize: 64, learningRate: 0.1, trainImages: 640 },
};

/** Options of the command line that change a recipe, and their limits. */
export const overrides = {
  epochs: { least: 1, most: 100_000, whole: true, option: '--epochs' },
  batchSize: { least: 2, most: 65_536, whole: true, option: '--batch-size' },
  learningRate: { least: Number.MIN_VALUE, most: Number.MAX_VALUE, whole: false, option: '--learning-rate' },
  trainImages: { least: 2, most: 1e9, whole: true, option: '--train-images' },
} as const;

/** Learning rate of a step: linear up to the highest rate, then half a cosine down to 0. @param step from 0 over all epochs */
export function learningRateAt(recipe: Recipe, step: number, totalSteps: number): number {
  const warmUp = recipe.warmUpFraction * totalSteps;
  if (step < warmUp) return (recipe.learningRate * Math.min(step + 1, warmUp)) / warmUp;
  return (recipe.learningRate * (1 + Math.cos((Math.PI * (step - warmUp)) / (totalSteps - warmUp)))) / 2;
}

/** The order of the images in an epoch (from 0), by seed and epoch alone. @returns (count) positions, each once */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const positions = Int32Array.from({ length: count }, (_, i) => i);
  return new Random(seed, `order of epoch ${epoch}`).shuffle(positions);
}

/** The random numbers of one step's augmentation. */
export function stepRandom(seed: number, epoch: number, step: number): Random {
  return new Random(seed, `images of epoch ${epoch}, step ${step}`);
}

/** torchvision's `RandomCrop(size, padding)` and `RandomHorizontalFlip()`. @param images (n, channels, height, width) bytes, unchanged */
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
      const from = image + (row - (row % height) + y) * width + right;
      const to = image + row * width;
      const last = Math.min(width, width - right);
      for (let x = Math.max(0, -right); x < last; x++) out[to + (mirrored ? width - 1 - x : x)] = images[from + x]!;
    }
  }
  return out;
}

export type TrainingImages = ReturnType<typeof divideImages>;

/**
 * Divides the training images into two disjoint sets, `learn` and `validation`.
 *
 * @returns also `heldOut`: ascending positions of the validation images; `dataSha256`: content id of all images
 * @throws InputError if there are fewer than the recipe needs
 */
export function divideImages(train: ImageSource, preprocessing: Preprocessing, recipe: Recipe, seed: number) {
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
  return { learn, validation: selectImages(train, held), heldOut: held, preprocessing, dataSha256: train.sha256 };
}

/** Steps of an epoch; images of an incomplete batch are left out. */
export function stepsPerEpoch(images: TrainingImages, recipe: Recipe): number {
  return Math.floor(images.learn.count / recipe.batchSize);
}

/** A step's batch, augmented and normalised. */
export interface TrainingBatch {
  /** (labels.length, channels, height, width) */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** Batches of an epoch from a step on, by seed, epoch and step alone. */
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
