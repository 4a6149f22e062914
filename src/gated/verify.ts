import { normalise } from '../data/preprocess.js';
import type { GatedNetwork } from '../engines/engine.js';
import type { GatedBatch } from '../gates/contracts.js';
import type { Progress } from '../progress.js';
import type { Row } from '../run/search.js';
import { exitOf, type Scores, type Thresholds } from '../thresholds/evaluate.js';
import { type OpenGated, thresholdsByImage } from './open.js';

/** A confidence this close to its threshold may fall on either side: engines round differently. */
export const NEAR_THRESHOLD = 1e-4;

/** How dynamic execution compares with the cached evaluation, over test images. */
export interface Verification {
  readonly images: number;
  /** Class and exit are the same. */
  readonly same: number;
  /** One of them differs, and a confidence that was held against a threshold lies within 1e-4 of it. */
  readonly near: number;
  /** One of them differs without such a reason: positions of the images. A correct engine has none. */
  readonly different: readonly number[];
  /** Largest difference of the confidences that images left with, over those leaving at the same gate. */
  readonly largestDifference: number;
}

/** The images that are compared, and the batch size. */
interface ImageRange {
  readonly batch: number;
  /** The first ones; all by default. */
  readonly limit?: number;
}

/**
 * Runs test images through a gated network, as it computes and stops, and compares class and exit with what the cached
 * evaluation says of a row.
 */
export async function compareDynamic(
  opened: OpenGated,
  network: GatedNetwork,
  row: Row,
  { batch, limit = opened.test.count, progress }: ImageRange & { readonly progress: Progress },
): Promise<Verification> {
  const parts = thresholdsByImage(opened, row).map((part) => {
    return { ...part, images: part.images.filter((position) => position < limit) };
  });
  const total = parts.reduce((sum, { images }) => sum + images.length, 0);
  const task = progress.begin(`dynamic execution against the cached evaluation, batch ${batch}`, total, 'images');
  const found = emptyVerification();
  for (const { thresholds, temperatures, images } of parts) {
    for (let start = 0; start < images.length; start += batch) {
      const positions = images.subarray(start, start + batch);
      const input = normalise(
        await opened.test.batch(positions),
        opened.source.preprocessing,
        opened.test.height * opened.test.width,
      );
      const result = await network.run(input, positions.length, thresholds, temperatures);
      compareBatch(found, opened.scores, thresholds, positions, result);
      task.update(found.images);
    }
  }
  task.end();
  return found;
}

/** The same for a graph that takes pixels as they come; with the first part's temperatures, where there are any. */
export async function comparePixels(
  { test, parts }: Pick<OpenGated, 'test' | 'parts'>,
  graph: { run(pixels: Uint8Array, count: number, thresholds: Thresholds): Promise<GatedBatch> },
  thresholds: Thresholds,
  { batch, limit = test.count }: ImageRange,
): Promise<Verification> {
  const found = emptyVerification();
  const images = Int32Array.from({ length: Math.min(limit, test.count) }, (_, i) => i);
  for (let start = 0; start < images.length; start += batch) {
    const positions = images.subarray(start, start + batch);
    const result = await graph.run(await test.batch(positions), positions.length, thresholds);
    compareBatch(found, parts[0]!.evaluation.scores, thresholds, positions, result);
  }
  return found;
}

/** Running totals of a verification. */
export interface RunningVerification extends Verification {
  images: number;
  same: number;
  near: number;
  different: number[];
  largestDifference: number;
}

/** A verification of no images yet. */
export function emptyVerification(): RunningVerification {
  return { images: 0, same: 0, near: 0, different: [], largestDifference: 0 };
}

/** Adds a batch to the totals. @param positions of its images in the test set */
export function compareBatch(
  found: RunningVerification,
  scores: Scores,
  thresholds: Thresholds,
  positions: Int32Array,
  result: GatedBatch,
): void {
  positions.forEach((image, i) => {
    compareImage(found, scores, thresholds, image, result, i);
  });
  found.images += positions.length;
}

function compareImage(
  found: RunningVerification,
  scores: Scores,
  thresholds: Thresholds,
  image: number,
  result: GatedBatch,
  position: number,
): void {
  const exit = exitOf(scores, thresholds, image);
  const expected = (scores.classes[exit] ?? scores.original)[image];
  const reached = Math.max(exit, result.exits[position]!);
  if (exit === result.exits[position]) {
    const cached = scores.confidences[exit]?.[image];
    // The cache has no confidence of the original classifier.
    const difference = cached === undefined ? 0 : Math.abs(cached - result.confidences[position]!);
    found.largestDifference = Math.max(found.largestDifference, difference);
    if (expected === result.classes[position] && !Number.isNaN(difference)) {
      found.same++;
      return;
    }
  }
  const isNear = thresholds.some(
    (threshold, gate) => gate <= reached && Math.abs(scores.confidences[gate]![image]! - threshold) <= NEAR_THRESHOLD,
  );
  if (isNear) found.near++;
  else found.different.push(image);
}

/** `10,000 of 10,000 images the same in class and exit, ...` */
export function describeVerification({ images, same, near, different, largestDifference }: Verification): string {
  const number = (value: number): string => value.toLocaleString('en');
  return (
    `${number(same)} of ${number(images)} images have the same class and exit; ${number(near)} differ with a ` +
    `confidence within ${NEAR_THRESHOLD} of its threshold, ${number(different.length)} differ otherwise` +
    `${different.length > 0 ? ` (images ${different.slice(0, 5).join(', ')}${different.length > 5 ? ', ...' : ''})` : ''}; ` +
    `confidences differ by at most ${largestDifference.toExponential(1)}`
  );
}
