import { InputError } from '../errors.js';

/** How a network is trained: stochastic gradient descent with momentum down a cosine, on augmented images. */
export interface Recipe {
  readonly epochs: number;
  readonly batchSize: number;
  /** The highest rate, at the end of the warm-up. */
  readonly learningRate: number;
  /** Share of all steps in which the rate rises from 0 to `learningRate`, 0 to 1. */
  readonly warmUpFraction: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  /** Added to the gradient as `weightDecay` x weight, as PyTorch's SGD does. */
  readonly weightDecay: number;
  /** Whether batch norm's weight and bias decay too. */
  readonly decayBatchNorm: boolean;
  /** Share of the target that is spread over all classes, 0 to 1. */
  readonly labelSmoothing: number;
  /** Whether each residual block begins as the identity: the last batch norm of its body at 0 (Goyal et al. 2017). */
  readonly zeroInitResidual: boolean;
  /** Pixels of black around an image before it is cropped to its size again at a random place. */
  readonly cropPadding: number;
  /** Whether half of the images are mirrored left to right. */
  readonly flip: boolean;
  /** Share of the training images that is never learnt from: 5,000 of CIFAR-10's 50,000. */
  readonly heldOutFraction: number;
  /** Images to learn from; all that are not held out if absent. */
  readonly trainImages?: number;
}

export const recipeNames = ['paper', 'laptop', 'smoke'] as const;
export type RecipeName = (typeof recipeNames)[number];

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

/** The recipes by name. */
export const recipes: Readonly<Record<RecipeName, Recipe>> = {
  /**
   * kuangliu/pytorch-cifar's, the source of the paper's networks on CIFAR-10, with a warm-up: kuangliu has none. Here the
   * rate rises through the first 5 of 200 epochs: while an untrained network changes fast, long steps can lead astray
   * (Goyal et al. 2017, section 2.2), and a run of a day should not be lost to its first minutes.
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
  /** Shows that everything works, in seconds for a small network. */
  smoke: { ...laptop, epochs: 2, batchSize: 64, learningRate: 0.1, trainImages: 640 },
};

/** What the command line may change in a recipe. */
export interface RecipeOverrides {
  readonly epochs?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly learningRate?: number | undefined;
  readonly trainImages?: number | undefined;
}

const limits = {
  epochs: { least: 1, most: 100_000, whole: true, option: '--epochs' },
  batchSize: { least: 2, most: 65_536, whole: true, option: '--batch-size' },
  learningRate: { least: Number.MIN_VALUE, most: Number.MAX_VALUE, whole: false, option: '--learning-rate' },
  trainImages: { least: 2, most: 1e9, whole: true, option: '--train-images' },
} as const;

/** The recipe of this name with changes. @throws InputError naming every value that makes no sense */
export function recipeWith(name: RecipeName, overrides: RecipeOverrides): Recipe {
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  const problems = given.flatMap(([key, value]) => {
    const { least, most, whole, option } = limits[key as keyof typeof limits];
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) return [];
    const valid = whole ? `a whole number from ${least} to ${most}` : 'a number above 0';
    return [`${option} ${value}; valid: ${valid}`];
  });
  if (problems.length > 0) throw new InputError(problems);
  return { ...recipes[name], ...Object.fromEntries(given) };
}

/**
 * Learning rate of a step: from 0 in a straight line to the highest rate, then down half a cosine to 0.
 *
 * @param step counted from 0 over all epochs; the first step of a warm-up already learns
 */
export function learningRateAt(recipe: Recipe, step: number, totalSteps: number): number {
  const warmUp = recipe.warmUpFraction * totalSteps;
  if (step < warmUp) return (recipe.learningRate * Math.min(step + 1, warmUp)) / warmUp;
  return (recipe.learningRate * (1 + Math.cos((Math.PI * (step - warmUp)) / (totalSteps - warmUp)))) / 2;
}
