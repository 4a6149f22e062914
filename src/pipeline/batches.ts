import type { ImageSource } from '../data/dataset.js';
import { batchesOf } from '../data/images.js';
import { normalise, type Preprocessing } from '../data/preprocess.js';
import type { FeatureBatch, FeatureNetwork } from '../engines/engine.js';

/** Images of a batch. */
export const BATCH_IMAGES = 64;

/**
 * Runs a network over images in order, from position `start` on; the next batch is prepared while the engine works on
 * the last.
 */
export async function* runBatches(
  loaded: FeatureNetwork,
  images: ImageSource,
  preprocessing: Preprocessing,
  start: number,
): AsyncGenerator<{ readonly count: number; readonly result: FeatureBatch }> {
  const channelSize = images.height * images.width;
  let running: { count: number; result: Promise<FeatureBatch> } | undefined;
  for await (const batch of batchesOf(images, BATCH_IMAGES, start)) {
    const input = normalise(batch.images, preprocessing, channelSize);
    const finished = running && { count: running.count, result: await running.result };
    running = { count: batch.count, result: loaded.run(input, batch.count) };
    // An error is thrown where the result is awaited; until then it must not count as unhandled.
    running.result.catch(() => {});
    if (finished !== undefined) yield finished;
  }
  if (running !== undefined) yield { count: running.count, result: await running.result };
}
