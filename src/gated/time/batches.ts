import { normalise } from '../../data/preprocess.js';
import { InputError } from '../../errors.js';
import type { Row } from '../../run/search.js';
import type { TimedBatch } from '../../timing/pairs.js';
import { type OpenGated, thresholdsByImage } from '../open.js';

/** Full batches of test images, in order, with the thresholds that a row holds against them. */
export interface Schedule {
  readonly batches: readonly Pick<TimedBatch, 'images' | 'thresholds'>[];
  /** The batches with their pixels, again and again. */
  prepared(): AsyncGenerator<TimedBatch>;
}

/**
 * Divides the test images into batches, in their order. A batch has one list of thresholds, so in a cross-fit each fold
 * is divided on its own; the batches then come in the order of their first images. What fills no batch is left out.
 *
 * @param images how many of the test images, the first ones; all by default
 * @throws InputError where they fill no batch
 */
export function schedule(opened: OpenGated, row: Row, batch: number, images = opened.test.count): Schedule {
  const batches = thresholdsByImage(opened, row).flatMap((part) => {
    const positions = part.images.filter((position) => position < images);
    const full = Math.floor(positions.length / batch);
    return Array.from({ length: full }, (_, i) => ({
      images: positions.subarray(i * batch, (i + 1) * batch),
      thresholds: part.thresholds,
    }));
  });
  if (batches.length === 0) {
    const folds = opened.parts.length > 1 ? ` in ${opened.parts.length} folds` : '';
    throw new InputError(`--batch ${batch}: ${images} test images${folds} do not fill a batch; valid: fewer`);
  }
  batches.sort((a, b) => a.images[0]! - b.images[0]!);
  return {
    batches,
    async *prepared() {
      for (;;) for (const one of batches) yield { ...one, input: await pixels(opened, one.images) };
    },
  };
}

async function pixels({ test, source }: OpenGated, images: Int32Array): Promise<Float32Array> {
  return normalise(await test.batch(images), source.preprocessing, test.height * test.width);
}
