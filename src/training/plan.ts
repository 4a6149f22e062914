import { InputError } from '../errors.js';
import { type Recipe, type RecipeName, type RecipeOverrides, recipeWith } from './recipe.js';
import type { Training } from './state.js';

/** Options of a command. Absent ones have a default or, when resuming, their earlier value. */
export interface TrainingWish extends RecipeOverrides {
  readonly preset?: RecipeName | undefined;
  readonly seed?: number | undefined;
}

/** The settings of a new training. */
export interface TrainingPlan {
  readonly preset: RecipeName;
  readonly recipe: Recipe;
  readonly seed: number;
}

/** The plan of a new training. @throws InputError naming every invalid value */
export function planTraining(wish: TrainingWish): TrainingPlan {
  const { preset = 'laptop', seed = 0, epochs, batchSize, learningRate, trainImages } = wish;
  const overrides = { epochs, batchSize, learningRate, trainImages };
  if (!Number.isSafeInteger(seed) || seed < 0) throw new InputError(`--seed ${seed}; valid: a whole number from 0`);
  return { preset, recipe: recipeWith(preset, overrides), seed };
}

/**
 * Checks that a command may resume a training.
 *
 * @throws InputError naming every option that differs from the interrupted training's
 */
export function checkResumed(
  begun: Training,
  wish: TrainingWish & { readonly network: string; readonly engine: string; readonly dataSha256: string },
  where: string,
): void {
  const { recipe } = begun;
  const was: Readonly<Record<string, string | number | undefined>> = {
    network: begun.network,
    '--preset': begun.preset,
    '--seed': begun.seed,
    '--epochs': recipe.epochs,
    '--batch-size': recipe.batchSize,
    '--learning-rate': recipe.learningRate,
    '--train-images': recipe.trainImages ?? 'all',
    '--engine': begun.engine,
    'the training images': begun.dataSha256,
  };
  const asked: typeof was = {
    network: wish.network,
    '--preset': wish.preset,
    '--seed': wish.seed,
    '--epochs': wish.epochs,
    '--batch-size': wish.batchSize,
    '--learning-rate': wish.learningRate,
    '--train-images': wish.trainImages,
    '--engine': wish.engine === 'auto' ? undefined : wish.engine,
    'the training images': wish.dataSha256,
  };
  const problems = Object.keys(was)
    .filter((key) => asked[key] !== undefined && asked[key] !== was[key])
    .map(
      (key) => `${where}: was started with ${key} ${was[key]}, not ${asked[key]}; valid: the same, or another --out`,
    );
  if (problems.length > 0) throw new InputError(problems);
}
