import { encodeSafetensors, type Storable } from '../checkpoints/safetensors.js';
import type { ImageSource } from '../data/dataset.js';
import { type GatePlace, gateFeatureCounts } from '../networks/onnx.js';
import type { NetworkOutputs } from '../onnx/network.js';
import { assertSpace, canonicalJson } from '../store/files.js';
import { describeHolder, type Lock, pause } from '../store/lock.js';
import type { Entry } from '../store/store.js';
import type { EngineDescription } from '../timing/record.js';
import { type ImageRange, type NetworkBatch, runBatches } from './batches.js';
import type { LazyEngine, RunContext } from './context.js';
import { shardArrays, shardEngine } from './features.js';
import type { NetworkSource } from './source.js';

/** Images of a shard: what an interrupted extraction loses at most. */
const SHARD_IMAGES = 1024;

/** What is extracted, and the entry whose files the shards are. */
export interface Extraction {
  readonly source: NetworkSource;
  readonly images: ImageSource;
  readonly places: readonly GatePlace[];
  readonly engine: LazyEngine;
  readonly wanted: NetworkOutputs;
  readonly entry: Entry;
  /** What it is called: `features of 2,000 test images`. */
  readonly name: string;
}

/** A part of the shards, for tasks of a cluster: those of `index` (from 0) where they are dealt to `of` tasks in runs. */
export interface Share {
  readonly index: number;
  readonly of: number;
}

interface ShardPlace extends ImageRange {
  readonly name: string;
}

/**
 * Extracts the shards that are not there yet. Several processes share the work, on one machine or on several: each takes
 * the next shard that nobody holds, and waits at the end for those that others hold; where one of them dies, its shard
 * is taken over.
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
  const loaded = once(async () =>
    (await engine.get()).loadFeatures(await extraction.source.lowered(), extraction.places, extraction.wanted),
  );
  try {
    for (let round = 0; open.length > 0; round++) {
      const made = await extractFree(context, extraction, open, loaded.get);
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
    await loaded.made?.then((network) => network.close());
  }
}

const shards = (count: number): string => (count === 1 ? 'shard' : `${count} shards`);

/** Says why it is extracted, and asks for the space. */
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
  const interrupted = begun
    ? `interrupted before, going on at image ${open[0]!.start.toLocaleString('en')}`
    : 'not in the cache';
  context.progress.note(`${name}: ${busy ?? interrupted}; extracting on ${engine.entry.id}`);
}

/** A function that does its work the first time only, and what came of it. */
function once<T>(work: () => Promise<T>): { readonly get: () => Promise<T>; made: Promise<T> | undefined } {
  const result = {
    made: undefined as Promise<T> | undefined,
    get: (): Promise<T> => {
      result.made ??= work();
      return result.made;
    },
  };
  return result;
}

/** Names of the shards that are not there yet. */
export async function missingShards({ entry, images }: Extraction): Promise<string[]> {
  const there = new Set(await entry.names());
  return shardPlaces(images.count).flatMap(({ name }) => (there.has(name) ? [] : [name]));
}

const shardName = (index: number): string => `shard-${String(index).padStart(5, '0')}.safetensors`;

function shardPlaces(count: number, share: Share = { index: 0, of: 1 }): ShardPlace[] {
  const total = Math.ceil(count / SHARD_IMAGES);
  const [first, end] = [share.index, share.index + 1].map((part) => Math.floor((part * total) / share.of));
  return Array.from({ length: end! - first! }, (_, i) => {
    const start = (first! + i) * SHARD_IMAGES;
    return { name: shardName(first! + i), start, end: Math.min(count, start + SHARD_IMAGES) };
  });
}

interface Claimed extends ShardPlace {
  readonly lock: Lock;
}

/** Extracts those shards that nobody else is making. @returns how many */
async function extractFree(
  { progress }: RunContext,
  { entry, images, source, places, engine, wanted, name }: Extraction,
  open: readonly ShardPlace[],
  load: () => Promise<Parameters<typeof runBatches>[0]>,
): Promise<number> {
  const claimed: Claimed[] = [];
  const claims = claim(entry, open, claimed);
  // The network is loaded for work only, so the first shard is claimed before.
  const first = await claims.next();
  if (first.done === true) return 0;
  const task = progress.begin(name, open.at(-1)!.end - first.value.start, 'images');
  let [done, made] = [0, 0];
  // A shard is written while the network goes on; one at a time, so that two are in memory at most.
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

/** Writes a finished shard, then lets go of its lock, whatever became of it. */
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

/** Locks one shard after the other, when it is asked for; those that others hold, or have made by now, are passed over. */
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

/**
 * What a shard holds, filled batch by batch. Its memory is used again for the next shard: arrays that live as long as a
 * shard takes are collected late, and memory would grow by several of them.
 */
export class ShardRows {
  readonly #features: Float32Array[];
  #logits = new Float32Array();
  #positions = new Int32Array();
  #leftOut: number[] = [];
  #rows = 0;
  #covered = 0;

  /**
   * @param widths features of each gate
   * @param classes of the logits; 0 where none are kept
   */
  constructor(
    private readonly widths: readonly number[],
    private readonly classes: number,
  ) {
    this.#features = widths.map(() => new Float32Array());
  }

  /** Images that the batches so far cover, those that could not be decoded included. */
  get covered(): number {
    return this.#covered;
  }

  /** Forgets what it holds. */
  clear(): void {
    [this.#rows, this.#covered, this.#leftOut] = [0, 0, []];
  }

  /** Makes room, where it holds nothing. @param images of the shard that comes */
  begin(images: number): void {
    if (this.#positions.length >= images) return;
    for (const [gate, width] of this.widths.entries()) this.#features[gate] = new Float32Array(images * width);
    this.#logits = new Float32Array(images * this.classes);
    this.#positions = new Int32Array(images);
  }

  /** Copies a batch, whose arrays are then free. @throws RangeError where it is more than was said */
  add({ count, positions, result, leftOut }: NetworkBatch): void {
    for (const [gate, width] of this.widths.entries()) {
      this.#features[gate]!.set(result.features[gate]!, this.#rows * width);
    }
    this.#logits.set(result.logits, this.#rows * this.classes);
    this.#positions.set(positions, this.#rows);
    this.#leftOut.push(...leftOut);
    this.#rows += positions.length;
    this.#covered += count;
  }

  /** The shard's arrays, [images, ...], as views: good until `clear`. @param ofAll label of every image of the source */
  content(ofAll: Int32Array): Map<string, Storable> {
    const rows = this.#rows;
    const floats = (data: Float32Array, width: number): Storable => {
      return { dtype: 'F32', shape: [rows, width], data: data.subarray(0, rows * width) };
    };
    const labels = this.#positions.subarray(0, rows).map((position) => ofAll[position]!);
    const leftOut = Int32Array.from(this.#leftOut);
    return new Map<string, Storable>([
      ...this.widths.map((width, gate): [string, Storable] => {
        return [shardArrays.gate(gate), floats(this.#features[gate]!, width)];
      }),
      ...(this.classes > 0 ? [[shardArrays.logits, floats(this.#logits, this.classes)] as [string, Storable]] : []),
      [shardArrays.labels, { dtype: 'I32', shape: [rows], data: labels }],
      ...(leftOut.length > 0
        ? [[shardArrays.leftOut, { dtype: 'I32', shape: [leftOut.length], data: leftOut }] as [string, Storable]]
        : []),
    ]);
  }
}
