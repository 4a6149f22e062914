import { encodeSafetensors, type Storable } from '../checkpoints/safetensors.js';
import type { ImageSource } from '../data/dataset.js';
import type { FeatureBatch, FeatureNetwork } from '../engines/engine.js';
import { type GatePlace, gateFeatureCounts } from '../networks/pooling.js';
import { canonicalJson, sha256 } from '../store/files.js';
import type { Entry } from '../store/store.js';
import { runBatches } from './batches.js';
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
  const set = new FeatureSet(entry, images.count, images.classes.length, gateFeatureCounts(network, places));
  const name = `features of ${images.count.toLocaleString('en')} ${label} images`;
  if (await entry.isComplete()) {
    context.progress.note(`${name}: in the cache (${entry.key})`);
    return set;
  }
  const start = await resumeAt(entry, images.count);
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
  await entry.finish({ images: images.count, seconds, engine: extractor.describe() });
  return set;
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
  let parts: FeatureBatch[] = [];
  let done = start;
  let shardStart = start;
  for await (const batch of runBatches(extraction.loaded, images, extraction.source.preprocessing, start)) {
    parts.push(batch.result);
    done += batch.count;
    if (done - shardStart === SHARD_IMAGES || done === images.count) {
      const arrays = shardContent(parts, images.labels.slice(shardStart, done));
      await entry.write(shardName(shardStart / SHARD_IMAGES), encodeSafetensors(arrays));
      shardStart = done;
      parts = [];
    }
    task.update(done - start);
  }
  task.end();
}

/** The arrays of a shard, [images, ...], from the results of its batches. */
function shardContent(parts: readonly FeatureBatch[], labels: Int32Array): Map<string, Storable> {
  const joined = (pieces: readonly Float32Array[]): Storable => {
    const data = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let offset = 0;
    for (const piece of pieces) {
      data.set(piece, offset);
      offset += piece.length;
    }
    return { dtype: 'F32', shape: [labels.length, data.length / labels.length], data };
  };
  const gates = parts[0]!.features.map((_, gate): [string, Storable] => {
    return [shardArrays.gate(gate), joined(parts.map((part) => part.features[gate]!))];
  });
  return new Map([
    ...gates,
    [shardArrays.logits, joined(parts.map((part) => part.logits))],
    [shardArrays.labels, { dtype: 'I32', shape: [labels.length], data: labels }],
  ]);
}
