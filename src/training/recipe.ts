import { InputError } from '../errors.js';

/** How a network is trained: SGD with momentum and a cosine schedule, on augmented images. */
export interface Recipe {
  readonly epochs: number;
  readonly batchSize: number;
  /** The highest rate, reached at the end of the warm-up. */
  readonly learningRate: number;
  /** Share of all steps during which the rate rises from 0 to `learningRate`, 0 to 1. */
  readonly warmUpFraction: number;
  readonly momentum: number;
  readonly nesterov: boolean;
  /** Added to the gradient as `weightDecay` x weight, as PyTorch's SGD does. */
  readonly weightDecay: number;
  /** Whether batch norm's weight and bias decay too. */
  readonly decayBatchNorm: boolean;
  /** Share of the target that is spread over all classes, 0 to 1. */
  readonly labelSmoothing: number;
  /** Whether each residual block starts as the identity: the last batch norm of its body is 0 (Goyal et al. 2017). */
  readonly zeroInitResidual: boolean;
  /** Black pixels added around an image before it is cropped to its size at a random place. */
  readonly cropPadding: number;
  /** Whether half of the images are mirrored left to right. */
  readonly flip: boolean;
  /** Share of the training images that are held out: 5,000 of CIFAR-10's 50,000. */
  readonly heldOutFraction: number;
  /** Number of images to learn from; all that are not held out if absent. */
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
   * The recipe of kuangliu/pytorch-cifar, the source of the paper's networks on CIFAR-10, plus a warm-up over the first 5 of
   * 200 epochs: large steps can make an untrained network diverge (Goyal et al. 2017, section 2.2), and a run of a day should
   * not be lost in its first minutes.
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

/** Options of the command line that change a recipe. */
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

/** The recipe of this name with changes. @throws InputError naming every invalid value */
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
 * Learning rate of a step: linear from 0 to the highest rate, then half a cosine down to 0.
 *
 * @param step counted from 0 over all epochs; the first step of a warm-up has a rate above 0
 */
export function learningRateAt(recipe: Recipe, step: number, totalSteps: number): number {
  const warmUp = recipe.warmUpFraction * totalSteps;
  if (step < warmUp) return (recipe.learningRate * Math.min(step + 1, warmUp)) / warmUp;
  return (recipe.learningRate * (1 + Math.cos((Math.PI * (step - warmUp)) / (totalSteps - warmUp)))) / 2;
}
