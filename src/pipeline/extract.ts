import { encodeSafetensors, type Storable } from '../checkpoints/safetensors.js';
import type { ImageSource } from '../data/dataset.js';
import type { FeatureNetwork } from '../engines/engine.js';
import { InputError } from '../errors.js';
import { type GatePlace, gateFeatureCounts } from '../networks/pooling.js';
import { canonicalJson, sha256 } from '../store/files.js';
import { assertSpace } from '../store/space.js';
import type { Entry } from '../store/store.js';
import { type NetworkBatch, runBatches } from './batches.js';
import type { LazyEngine, RunContext } from './context.js';
import { FeatureSet, shardArrays } from './features.js';
import type { NetworkSource } from './source.js';

/** Raise when what is extracted from the same inputs changes. */
const CODE_VERSION = 1;

/** Images of a shard: what an interrupted extraction loses at most. */
const SHARD_IMAGES = 1024;

/** Features at each gate, logits and labels of all images of a source: from the cache, or extracted into it. */
export async function extract(
  context: RunContext,
  source: NetworkSource,
  images: ImageSource,
  places: readonly GatePlace[],
  engine: LazyEngine,
  label: string,
): Promise<FeatureSet> {
  const { network } = source;
  const entry = context.store.entry('features', {
    images: images.sha256,
    preprocessing: source.preprocessing,
    network: sha256(canonicalJson(network)),
    checkpoint: source.checkpoint.sha256,
    gates: places,
    engine: { id: engine.entry.id, precision: engine.entry.precision },
    code: CODE_VERSION,
  });
  const widths = gateFeatureCounts(network, places);
  const setOf = (leftOut: number): FeatureSet =>
    new FeatureSet(entry, images.count - leftOut, images.classes.length, widths);
  const name = `features of ${images.count.toLocaleString('en')} ${label} images`;
  if (await entry.isComplete()) {
    const leftOut = ((await entry.manifest())?.notes['leftOut'] as number[] | undefined)?.length ?? 0;
    const without = leftOut === 0 ? '' : `; ${leftOut} images that cannot be decoded are left out`;
    context.progress.note(`${name}: in the cache (${entry.key})${without}`);
    return setOf(leftOut);
  }
  const start = await resumeAt(entry, images.count);
  const imageBytes = 4 * (widths.reduce((sum, width) => sum + width, 0) + images.classes.length + 1);
  await assertSpace(entry.directory, (images.count - start) * imageBytes, name);
  const reason =
    start === 0 ? 'not in the cache' : `interrupted before, going on at image ${start.toLocaleString('en')}`;
  context.progress.note(`${name}: ${reason}; extracting on ${engine.entry.id}`);
  const began = performance.now();
  const extractor = await engine.get();
  const loaded = await extractor.loadFeatures(await source.lowered(), places);
  try {
    await writeShards({ context, source, images, entry, loaded, start, name });
  } finally {
    await loaded.close();
  }
  const seconds = (performance.now() - began) / 1000;
  const leftOut = images.unreadable === undefined ? [] : await leftOutOf(setOf(0));
  if (leftOut.length === images.count) throw new InputError(`${name}: none can be decoded: ${unreadable(images)}`);
  if (leftOut.length > 0) {
    context.progress.warn(`${name}: ${leftOut.length} cannot be decoded and are left out: ${unreadable(images)}`);
  }
  await entry.finish({
    images: images.count - leftOut.length,
    seconds,
    engine: extractor.describe(),
    ...(leftOut.length > 0 && { leftOut }),
  });
  return setOf(leftOut.length);
}

/** Positions of all images that were left out, those of an interrupted run before included. */
async function leftOutOf(set: FeatureSet): Promise<number[]> {
  const positions: number[] = [];
  for await (const shard of set.shards()) positions.push(...shard.leftOut);
  return positions;
}

/** What is wrong with the first files that this run could not decode. */
function unreadable(images: ImageSource): string {
  const reasons = [...(images.unreadable?.values() ?? [])];
  return reasons.slice(0, 10).join('; ') + (reasons.length > 10 ? `; and ${reasons.length - 10} more` : '');
}

const shardName = (index: number): string => `shard-${String(index).padStart(5, '0')}.safetensors`;

/** The first image that no whole shard holds yet: shards are written in order, so those there are the first ones. */
async function resumeAt(entry: Entry, count: number): Promise<number> {
  const files = (await entry.manifest())?.files ?? {};
  let shards = 0;
  while (files[shardName(shards)] !== undefined) shards++;
  return Math.min(count, shards * SHARD_IMAGES);
}

interface Extraction {
  readonly context: RunContext;
  readonly source: NetworkSource;
  readonly images: ImageSource;
  readonly entry: Entry;
  readonly loaded: FeatureNetwork;
  readonly start: number;
  readonly name: string;
}

async function writeShards(extraction: Extraction): Promise<void> {
  const { context, images, entry, start, name } = extraction;
  const task = context.progress.begin(name, images.count - start, 'images');
  let parts: NetworkBatch[] = [];
  let done = start;
  let shardStart = start;
  for await (const batch of runBatches(extraction.loaded, images, extraction.source.preprocessing, start)) {
    parts.push(batch);
    done += batch.count;
    if (done - shardStart === SHARD_IMAGES || done === images.count) {
      const arrays = shardContent(parts, images.labels);
      await entry.write(shardName(shardStart / SHARD_IMAGES), encodeSafetensors(arrays));
      shardStart = done;
      parts = [];
    }
    const broken = images.unreadable?.size ?? 0;
    task.update(done - start, broken > 0 ? `${broken} cannot be decoded` : undefined);
  }
  task.end();
}

/** The arrays of a shard, [images, ...], from the results of its batches. */
function shardContent(parts: readonly NetworkBatch[], ofAll: Int32Array): Map<string, Storable> {
  const labels = Int32Array.from(
    parts.flatMap(({ positions }) => [...positions]),
    (position) => ofAll[position]!,
  );
  const leftOut = Int32Array.from(parts.flatMap((part) => part.leftOut));
  const joined = (pieces: readonly Float32Array[]): Storable => {
    const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let offset = 0;
    for (const piece of pieces) {
      data.set(piece, offset);
      offset += piece.length;
    }
    return { dtype: 'F32', shape: [labels.length, data.length / Math.max(1, labels.length)], data };
  };
  const gates = parts[0]!.result.features.map((_, gate): [string, Storable] => {
    return [shardArrays.gate(gate), joined(parts.map(({ result }) => result.features[gate]!))];
  });
  return new Map<string, Storable>([
    ...gates,
    [shardArrays.logits, joined(parts.map(({ result }) => result.logits))],
    [shardArrays.labels, { dtype: 'I32', shape: [labels.length], data: labels }],
    ...(leftOut.length > 0
      ? [[shardArrays.leftOut, { dtype: 'I32', shape: [leftOut.length], data: leftOut }] as [string, Storable]]
      : []),
  ]);
}
