import type { PublishedSplit } from '../data/dataset.js';
import { selectImages } from '../data/images.js';
import { InputError } from '../errors.js';
import { decide } from '../gates/confidence.js';
import { runBatches } from './batches.js';
import { LazyEngine, type RunContext } from './context.js';
import { openSplit } from './images.js';
import type { NetworkSource } from './source.js';

/** What `dgate model eval` reports. */
export interface OriginalEvaluation {
  readonly network: string;
  readonly engine: string;
  /** Share classified correctly, 0 to 1. */
  readonly accuracy: number;
  readonly images: number;
  /** Seconds in the network, loading not included. */
  readonly seconds: number;
}

/** Accuracy of the original network on a split, nothing cached. */
export async function evaluateOriginal(
  context: RunContext,
  source: NetworkSource,
  options: { readonly split: PublishedSplit; readonly limit?: number | undefined; readonly engine: string },
): Promise<OriginalEvaluation> {
  const engine = new LazyEngine(options.engine);
  const lowered = await source.lowered();
  const whole = await openSplit(context, source, options.split);
  const limit = options.limit ?? whole.count;
  if (!Number.isInteger(limit) || limit < 1) throw new InputError(`--limit ${limit}; valid: 1 to ${whole.count}`);
  const count = Math.min(limit, whole.count);
  const images =
    count === whole.count
      ? whole
      : selectImages(
          whole,
          Int32Array.from({ length: count }, (_, i) => i),
        );
  const loaded = await (await engine.get()).loadFeatures(lowered, []);
  const label = `${source.network.name} on ${count.toLocaleString('en')} ${options.split} images`;
  const task = context.progress.begin(label, count, 'images');
  const start = performance.now();
  let done = 0;
  let correct = 0;
  try {
    const { device } = engine.entry;
    for await (const { result, positions, count: size } of runBatches(loaded, images, source.preprocessing, device)) {
      const { classes } = decide(result.logits, images.classes.length, 'max');
      correct += classes.filter((predicted, i) => predicted === images.labels[positions[i]!]).length;
      done += size;
      task.update(done);
    }
  } finally {
    await loaded.close();
  }
  task.end();
  const seconds = (performance.now() - start) / 1000;
  return { network: source.network.name, engine: engine.entry.id, accuracy: correct / count, images: count, seconds };
}
