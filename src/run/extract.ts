import type { ImageSource } from '../data/dataset.js';
import { InputError } from '../errors.js';
import { type GatePlace, gateFeatureCounts } from '../networks/onnx.js';
import { codeOf } from '../store/code.js';
import { canonicalJson, sha256 } from '../store/files.js';
import type { Entry } from '../store/store.js';
import { BATCH_IMAGES } from './batches.js';
import type { LazyEngine, RunContext } from './context.js';
import { FeatureSet } from './features.js';
import { type Extraction, extractShards } from './shards.js';
import type { NetworkSource } from './source.js';

/** Which images. Training images are only learnt from, by gates: what is behind the last gate is not computed for them. */
export type Split = 'training' | 'held-out' | 'test' | `${string} test`;

/** What is extracted, under the key of everything that it depends on. */
export function extractionOf(
  context: RunContext,
  source: NetworkSource,
  images: ImageSource,
  places: readonly GatePlace[],
  engine: LazyEngine,
  label: Split,
): Extraction {
  const { network } = source;
  if (images.count === 0) throw new InputError(`${label} images: there are none; valid: at least one`);
  const wanted = label === 'training' ? 'features' : 'features and logits';
  const entry = context.store.entry('features', {
    images: images.sha256,
    preprocessing: source.preprocessing,
    network: sha256(canonicalJson(network)),
    checkpoint: source.checkpoint.sha256,
    ...(source.weights && { weights: source.weights }),
    gates: places,
    ...(wanted === 'features' && { wanted }),
    engine: { id: engine.entry.id, precision: engine.entry.precision },
    code: codeOf('run/extract', ...source.modules, engine.entry.module),
  });
  const count = images.count.toLocaleString('en');
  const what = places.length > 0 ? 'features of' : `logits of ${network.name}:`;
  const name = `${what} ${count} ${label} images`;
  return { source, images, places, engine, wanted, entry, name };
}

/** Features at each gate, labels, and logits where the split has them, of all images: from the cache, or extracted into it. */
export async function extract(
  context: RunContext,
  source: NetworkSource,
  images: ImageSource,
  places: readonly GatePlace[],
  engine: LazyEngine,
  label: Split,
): Promise<FeatureSet> {
  const extraction = extractionOf(context, source, images, places, engine, label);
  const { entry, name } = extraction;
  const { network } = source;
  const widths = gateFeatureCounts(network, places);
  const setOf = (leftOut: number): FeatureSet =>
    new FeatureSet(entry, images.count - leftOut, images.classes.length, widths);
  if (await entry.isComplete()) {
    const leftOut = await countLeftOut(entry);
    const without = leftOut === 0 ? '' : `; ${leftOut} images that cannot be decoded are left out`;
    context.progress.note(`${name}: in the cache (${entry.key})${without}`);
    return setOf(leftOut);
  }
  const began = performance.now();
  await extractShards(context, extraction);
  if (await entry.isComplete()) return setOf(await countLeftOut(entry)); // another process was first
  const seconds = (performance.now() - began) / 1000;
  const leftOut = images.unreadable === undefined ? [] : await leftOutOf(setOf(0));
  const unreadable = await reasonsOf(images, leftOut);
  if (leftOut.length === images.count) throw new InputError(`${name}: none can be decoded: ${firstOf(unreadable)}`);
  if (leftOut.length > 0) {
    context.progress.warn(`${name}: ${leftOut.length} cannot be decoded and are left out: ${firstOf(unreadable)}`);
  }
  await entry.finish({
    images: images.count - leftOut.length,
    seconds,
    engine: engine.loaded ? (await engine.get()).describe() : await setOf(0).engineOfShards(),
    ...(leftOut.length > 0 && { leftOut, unreadable }),
  });
  return setOf(leftOut.length);
}

/** The same for images of which all can be decoded, put off until somebody reads the features. */
export function extractLater(...all: Parameters<typeof extract>): FeatureSet {
  const [context, source, images, places, engine, label] = all;
  const { entry } = extractionOf(context, source, images, places, engine, label);
  const widths = gateFeatureCounts(source.network, places);
  return new FeatureSet(entry, images.count, images.classes.length, widths, () => extract(...all));
}

/** Images of a complete entry that could not be decoded. */
async function countLeftOut(entry: Entry): Promise<number> {
  return ((await entry.manifest())?.notes['leftOut'] as number[] | undefined)?.length ?? 0;
}

/** Positions of all images that were left out, those of an interrupted run before included. */
async function leftOutOf(set: FeatureSet): Promise<number[]> {
  const positions: number[] = [];
  for await (const shard of set.shards()) positions.push(...shard.leftOut);
  return positions;
}

/** What is wrong with each image that was left out; those that an interrupted run met are looked at again. */
async function reasonsOf(images: ImageSource, leftOut: readonly number[]): Promise<string[]> {
  const unknown = leftOut.filter((position) => !images.unreadable?.has(position));
  for (let start = 0; start < unknown.length; start += BATCH_IMAGES) {
    await images.batch(unknown.slice(start, start + BATCH_IMAGES));
  }
  return leftOut.map((position) => {
    return images.unreadable?.get(position) ?? `image ${position}: could not be decoded when it was extracted`;
  });
}

function firstOf(reasons: readonly string[]): string {
  return reasons.slice(0, 10).join('; ') + (reasons.length > 10 ? `; and ${reasons.length - 10} more` : '');
}
