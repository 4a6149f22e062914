import { InputError } from '../errors.js';
import { Random } from '../random.js';

/** Positions in a list of labels, ascending. */
export type Indices = Int32Array;

/**
 * Divides images into folds with the same share of every class: sizes differ by at most one, within each class as well
 * as overall. The same labels, folds and seed give the same division.
 *
 * @param labels the class of each image, in [0, classes)
 * @param folds 1 to the number of images
 * @returns the positions in each fold, ascending; every image is in exactly one
 * @throws InputError if there are more folds than images; RangeError for a label that is not a class
 */
export function stratifiedFolds(labels: ArrayLike<number>, classes: number, folds: number, seed: number): Indices[] {
  if (!Number.isInteger(folds) || folds < 1 || folds > labels.length) {
    throw new InputError(`${folds} folds of ${labels.length} images; valid: 1 to ${labels.length}`);
  }
  const members: number[][] = Array.from({ length: folds }, () => []);
  // Like dealing cards: the next class continues with the fold after the last image's.
  let dealt = 0;
  for (const ofClass of shuffledByClass(labels, classes, new Random(seed, 'folds'))) {
    for (const index of ofClass) members[dealt++ % folds]!.push(index);
  }
  return members.map(ascending);
}

/**
 * Holds out some images, in proportion to the classes.
 *
 * @param count images to hold out, 0 to the number of images
 * @returns `held` (count) and `rest`, positions ascending; every image is in exactly one
 * @throws InputError if there are fewer images; RangeError for a label that is not a class
 */
export function holdOut(
  labels: ArrayLike<number>,
  classes: number,
  count: number,
  seed: number,
): { readonly rest: Indices; readonly held: Indices } {
  const held = choose(labels, classes, count, 0, new Random(seed, 'hold-out'));
  const isHeld = new Uint8Array(labels.length);
  for (const index of held) isHeld[index] = 1;
  const rest = new Int32Array(labels.length - held.length);
  for (let index = 0, next = 0; index < labels.length; index++) if (isHeld[index] === 0) rest[next++] = index;
  return { rest, held };
}

/**
 * A random subset of images, in proportion to the classes (`--train-images`, `--test-images`). With classes of equal size, a
 * smaller subset is part of every larger one with the same seed.
 *
 * @param count 1 to the number of images
 * @returns (count) positions, ascending
 * @throws InputError if there are fewer images; RangeError for a label that is not a class
 */
export function stratifiedSubset(labels: ArrayLike<number>, classes: number, count: number, seed: number): Indices {
  return choose(labels, classes, count, 1, new Random(seed, 'subset'));
}

/** Number of images of each class. @throws RangeError for a label that is not a class */
export function classCounts(labels: ArrayLike<number>, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new RangeError(`image ${i}: label ${label} of ${classes} classes`);
    }
    counts[label]!++;
  }
  return counts;
}

function choose(labels: ArrayLike<number>, classes: number, count: number, least: number, random: Random): Indices {
  if (!Number.isInteger(count) || count < least || count > labels.length) {
    throw new InputError(`${count} images asked for; valid: ${least} to ${labels.length}`);
  }
  const byClass = shuffledByClass(labels, classes, random);
  const shares = sharesOf(
    byClass.map((ofClass) => ofClass.length),
    count,
    random,
  );
  return ascending(byClass.flatMap((ofClass, label) => ofClass.slice(0, shares[label]!)));
}

/**
 * Divides `count` in proportion to the sizes: shares are rounded down, and the largest remainders get one more each (equal
 * remainders in random order).
 */
function sharesOf(sizes: readonly number[], count: number, random: Random): number[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total === 0) return sizes.map(() => 0);
  const shares = sizes.map((size) => Math.floor((size * count) / total));
  const missing = count - shares.reduce((sum, share) => sum + share, 0);
  // Whole numbers, so that equal remainders are equal.
  const remainder = (label: number): number => (sizes[label]! * count) % total;
  const order = random.shuffle([...sizes.keys()]).sort((a, b) => remainder(b) - remainder(a));
  for (const label of order.slice(0, missing)) shares[label]!++;
  return shares;
}

/** The positions of each class's images in random order. */
function shuffledByClass(labels: ArrayLike<number>, classes: number, random: Random): number[][] {
  const byClass = classCounts(labels, classes).map((): number[] => []);
  for (let i = 0; i < labels.length; i++) byClass[labels[i]!]!.push(i);
  return byClass.map((ofClass) => random.shuffle(ofClass));
}

function ascending(indices: readonly number[]): Indices {
  return Int32Array.from(indices).sort();
}
