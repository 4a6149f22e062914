import type { Split } from './extract.js';

/** One of something for each split of the images. */
export interface BySplit<T> {
  /** Images that gates learn from; absent where nothing is trained. */
  readonly train?: T;
  /** Training images that the network has not learnt from, where the experiment chooses thresholds on them. */
  readonly heldOut?: T;
  readonly test: T;
}

/** Applies a function to every split, one after the other. A split is absent where it was. */
export async function mapSplits<T, U>(
  { train, heldOut, test }: BySplit<T>,
  map: (item: T, label: Split, key: keyof BySplit<T>) => U | Promise<U>,
): Promise<BySplit<U>> {
  const mappedTrain = train === undefined ? undefined : await map(train, 'training', 'train');
  const mappedHeldOut = heldOut === undefined ? undefined : await map(heldOut, 'held-out', 'heldOut');
  return {
    ...(mappedTrain !== undefined && { train: mappedTrain }),
    ...(mappedHeldOut !== undefined && { heldOut: mappedHeldOut }),
    test: await map(test, 'test', 'test'),
  };
}

/** Every split that exists, in order. */
export function everySplit<T>({ train, heldOut, test }: BySplit<T>): T[] {
  return [train, heldOut, test].filter((split) => split !== undefined);
}
