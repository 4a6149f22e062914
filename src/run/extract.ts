import { encodeSafetensors, type Storable } from '../checkpoints/load.js';
import type { ImageSource } from '../data/dataset.js';
import type { FeatureNetwork } from '../engines/engine.js';
import { InputError } from '../errors.js';
import type { GateTarget } from '../gates/loss.js';
import { counted } from '../json.js';
import { type GatePlace, gateFeatureCounts } from '../networks/onnx.js';
import type { NetworkOutputs } from '../onnx/network.js';
import { codeOf } from '../store/code.js';
import { assertSpace, canonicalJson, sha256 } from '../store/files.js';
import { describeHolder, type Lock, pause } from '../store/lock.js';
import type { Entry } from '../store/store.js';
import type { EngineDescription } from '../timing/record.js';
import { BATCH_IMAGES, type ImageRange, runBatches, ShardRows } from './batches.js';
import type { LazyEngine, RunContext } from './context.js';
import { FeatureSet, leftOutIn, shardEngine } from './features.js';
import type { NetworkSource } from './source.js';

/** Which images. For training images the network runs up to the last gate, unless gates imitate its end. */
export type Split = 'training' | 'held-out' | 'test' | `${string} test`;

/** What is extracted, with the cache key of all that it depends on. */
export function extractionOf(
  context: RunContext,
  source: NetworkSource,
  images: ImageSource,
  places: readonly GatePlace[],
  engine: LazyEngine,
  label: Split,
  target: GateTarget = 'labels',
): Extraction {
  const { network } = source;
  if (images.count === 0) throw new InputError(`${label} images: there are none; valid: at least one`);
  const wanted = label === 'training' && target === 'labels' ? 'features' : 'features and logits';
  const entry = context.store.entry('features', {
    images: images.sha256,
    preprocessing: source.preprocessing,
    network: sha256(canonicalJson(network)),
    checkpoint: source.checkpoint.sha256,
    ...(source.weights && { weights: source.weights }),
    ...(source.int8 !== undefined && { int8: source.int8 }),
    gates: places,
    ...(wanted === 'features' && { wanted }),
    engine: { id: engine.entry.id, precision: engine.entry.precision },
    code: codeOf('run/extract', ...source.modules, engine.entry.module),
  });
  const what = places.length > 0 ? 'features of' : `logits of ${network.name}:`;
  const name = `${what} ${counted(images.count)} ${label} images`;
  return { source, images, places, engine, wanted, entry, name };
}

/** Features at each gate, labels, and for all but training images logits: from the cache, or extracted into it. */
export async function extract(context: RunContext, extraction: Extraction): Promise<FeatureSet> {
  const { images, engine, entry, name } = extraction;
  const setOf = (leftOut: number): FeatureSet => featureSet(extraction, images.count - leftOut);
  if (await entry.isComplete()) {
    const { length: leftOut } = await leftOutIn(entry);
    const without = leftOut === 0 ? '' : `; ${leftOut} images that cannot be decoded are left out`;
    context.progress.note(`${name}: in the cache (${entry.key})${without}`);
    return setOf(leftOut);
  }
  const began = performance.now();
  await extractShards(context, extraction);
  if (await entry.isComplete()) return setOf((await leftOutIn(entry)).length); // another process was first
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

/** The same on first use of the features, for images that can all be decoded. */
export function extractLater(context: RunContext, extraction: Extraction): FeatureSet {
  return featureSet(extraction, extraction.images.count, () => extract(context, extraction));
}

function featureSet({ entry, images, source, places }: Extraction, count: number, make?: () => Promise<FeatureSet>) {
  return new FeatureSet(entry, count, images.classes.length, gateFeatureCounts(source.network, places), make);
}

/** Positions of all images that were left out, in an interrupted run before too. */
async function leftOutOf(set: FeatureSet): Promise<number[]> {
  const positions: number[] = [];
  for await (const shard of set.shards()) positions.push(...shard.leftOut);
  return positions;
}

/** Why each image was left out. Reads those of an interrupted run again, whose reasons are unknown. */
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

/** Images of a shard; an interrupted extraction loses at most one shard. */
const SHARD_IMAGES = 1024;

export interface Extraction {
  readonly source: NetworkSource;
  readonly images: ImageSource;
  readonly places: readonly GatePlace[];
  readonly engine: LazyEngine;
  readonly wanted: NetworkOutputs;
  /** Its files are the shards. */
  readonly entry: Entry;
  /** `features of 2,000 test images` */
  readonly name: string;
}

/** The index-th (from 0) of `of` contiguous slices of the shards, for tasks of a cluster. */
export interface Share {
  readonly index: number;
  readonly of: number;
}

type ShardPlace = ImageRange & { readonly name: string };

/**
 * Extracts missing shards. Several processes, on one machine or more, share the work: each takes the next shard that is not
 * locked, waits at the end for those of others, and takes over the shard of a process that died.
 *
 * @param share only these shards, without waiting for others; all by default
 */
export async function extractShards(context: RunContext, extraction: Extraction, share?: Share): Promise<void> {
  const { entry, images, engine, name } = extraction;
  const wanted = shardPlaces(images.count, share);
  const missing = async (): Promise<ShardPlace[]> => {
    const there = new Set(await entry.names());
    return wanted.filter((shard) => !there.has(shard.name));
  };
  let open = await missing();
  if (open.length === 0) context.progress.note(`${name}: every shard is in the cache (${entry.key})`);
  else await announce(context, extraction, open, open.length < wanted.length);
  let loaded: Promise<FeatureNetwork> | undefined;
  const load = (): Promise<FeatureNetwork> => {
    loaded ??= (async () => {
      const lowered = await extraction.source.lowered();
      return (await engine.get()).loadFeatures(lowered, extraction.places, extraction.wanted);
    })();
    return loaded;
  };
  try {
    for (let round = 0; open.length > 0; round++) {
      const made = await extractFree(context, extraction, open, load);
      open = await missing();
      if (open.length === 0 || (share !== undefined && made === 0)) break;
      if (made > 0) round = 0;
      else {
        if (round === 0) {
          const holder = await describeHolder(entry.lockPath(open[0]!.name));
          context.progress.note(`${name}: waiting for the last ${shards(open.length)}, which ${holder} makes`);
        }
        await pause(round);
      }
    }
  } finally {
    await (await loaded)?.close();
  }
}

const shards = (count: number): string => (count === 1 ? 'shard' : `${count} shards`);

/** Reports why it is extracted, and checks the free space. */
async function announce(
  context: RunContext,
  { entry, source, images, places, engine, name }: Extraction,
  open: readonly ShardPlace[],
  begun: boolean,
): Promise<void> {
  const widths = gateFeatureCounts(source.network, places);
  const imageBytes = 4 * (widths.reduce((sum, width) => sum + width, 0) + images.classes.length + 1);
  const count = open.reduce((sum, { start, end }) => sum + end - start, 0);
  await assertSpace(entry.directory, count * imageBytes, name);
  const busy = (await entry.isBusy()) ? 'another process is at it, sharing the work' : undefined;
  const interrupted = begun ? `interrupted before, going on at image ${counted(open[0]!.start)}` : 'not in the cache';
  context.progress.note(`${name}: ${busy ?? interrupted}; extracting on ${engine.entry.id}`);
}

export async function missingShards({ entry, images }: Extraction): Promise<string[]> {
  const there = new Set(await entry.names());
  return shardPlaces(images.count).flatMap(({ name }) => (there.has(name) ? [] : [name]));
}

function shardPlaces(count: number, share: Share = { index: 0, of: 1 }): ShardPlace[] {
  const total = Math.ceil(count / SHARD_IMAGES);
  const [first, end] = [share.index, share.index + 1].map((part) => Math.floor((part * total) / share.of));
  return Array.from({ length: end! - first! }, (_, i) => {
    const start = (first! + i) * SHARD_IMAGES;
    const name = `shard-${String(first! + i).padStart(5, '0')}.safetensors`;
    return { name, start, end: Math.min(count, start + SHARD_IMAGES) };
  });
}

type Claimed = ShardPlace & { readonly lock: Lock };

/** Extracts the shards that no other process holds. @returns how many */
async function extractFree(
  { progress }: RunContext,
  { entry, images, source, places, engine, wanted, name }: Extraction,
  open: readonly ShardPlace[],
  load: () => Promise<FeatureNetwork>,
): Promise<number> {
  const claimed: Claimed[] = [];
  const claims = claim(entry, open, claimed);
  // Claims a shard before it loads the network, which may not be needed.
  const first = await claims.next();
  if (first.done === true) return 0;
  const task = progress.begin(name, open.at(-1)!.end - first.value.start, 'images');
  let [done, made] = [0, 0];
  // One shard is written while the network fills the next: at most two are in memory.
  const widths = gateFeatureCounts(source.network, places);
  const logits = wanted === 'features' ? 0 : images.classes.length;
  let [filling, written] = [new ShardRows(widths, logits), new ShardRows(widths, logits)];
  let writing = Promise.resolve();
  try {
    const ranges = after(first.value, claims);
    const network = await load();
    const by = (await engine.get()).describe();
    const batches = runBatches(network, images, source.preprocessing, engine.entry.device, ranges);
    for await (const batch of batches) {
      const { start, end } = claimed[0]!;
      if (filling.covered === 0) filling.begin(end - start);
      filling.add(batch);
      done += batch.count;
      if (filling.covered === end - start) {
        await writing;
        [filling, written] = [written, filling];
        filling.clear();
        writing = writeShard(entry, claimed.shift()!, written.content(images.labels), by);
        writing.catch(() => {}); // thrown where it is awaited
        made++;
      }
      const broken = images.unreadable?.size ?? 0;
      task.update(done, broken > 0 ? `${broken} cannot be decoded` : undefined);
    }
    await writing;
  } finally {
    await writing.catch(() => {});
    for (const { lock } of claimed) await lock.release();
  }
  task.end();
  return made;
}

/** Writes a finished shard and releases its lock. */
async function writeShard(
  entry: Entry,
  { name, lock }: Claimed,
  content: Map<string, Storable>,
  engine: EngineDescription,
): Promise<void> {
  try {
    await entry.write(name, encodeSafetensors(content, { [shardEngine]: canonicalJson(engine) }));
  } finally {
    await lock.release();
  }
}

/** Locks one shard after the other on demand; skips those that others hold or have made. */
async function* claim(entry: Entry, open: readonly ShardPlace[], claimed: Claimed[]): AsyncGenerator<ShardPlace> {
  for (const shard of open) {
    const lock = await entry.tryLock(shard.name);
    if (lock === undefined) continue;
    if ((await entry.names()).includes(shard.name)) {
      await lock.release();
      continue;
    }
    claimed.push({ ...shard, lock });
    yield shard;
  }
}

async function* after<T>(first: T, rest: AsyncGenerator<T>): AsyncGenerator<T> {
  yield first;
  yield* rest;
}
