import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { download, recordedHash } from '../checkpoints/fetch.js';
import { knownCheckpoints } from '../checkpoints/known.js';
import type { Dataset, Download } from '../data/dataset.js';
import { datasets } from '../data/registry.js';
import type { Engine } from '../engines/engine.js';
import { createEngine, type EngineEntry, engineNamed } from '../engines/registry.js';
import { InputError, ifThere } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import type { Progress } from '../progress.js';
import { hashFile, namesIn, readTextIfThere } from '../store/files.js';
import { holderIn } from '../store/lock.js';
import { CorruptEntryError, Store } from '../store/store.js';
import type { NetworkSource } from './source.js';

/** What all stages of a run share. */
export interface RunContext {
  readonly store: Store;
  /** The known datasets; the registry's if absent. */
  readonly datasets?: readonly Dataset[];
  /** Folder of all datasets. */
  readonly dataRoot: string;
  /** Folder of fetched checkpoints. */
  readonly modelsRoot: string;
  readonly resultsRoot: string;
  readonly progress: Progress;
  readonly download: Download;
  /** Milliseconds of an image by its exit if a timing of this system is recorded; `cli` looks it up. */
  readonly exitTimes?: (basis: RunBasis) => Promise<readonly number[] | undefined>;
}

/** What decides the result of a run. */
export interface RunBasis {
  readonly experiment: Experiment;
  readonly source: NetworkSource;
  readonly engine: LazyEngine;
  /** Content ids of the images, by split, those included that turn out not to be decodable. */
  readonly imageHashes: Readonly<Record<string, string>>;
}

/** @param cache folder of all that is fetched and computed @param resultsRoot folder of the tables */
export function contextIn(cache: string, resultsRoot: string, progress: Progress): RunContext {
  return {
    store: new Store(join(cache, 'results')),
    dataRoot: join(cache, 'data'),
    modelsRoot: join(cache, 'models'),
    resultsRoot,
    progress,
    download: async ({ url, to, bytes, sha256 }) => {
      await download({ urls: [url], to, sizeBytes: bytes, sha256, progress });
    },
  };
}

/** An engine that is loaded on first use: a run with everything cached loads none. */
export class LazyEngine {
  readonly entry: EngineEntry;
  #engine: Promise<Engine> | undefined;

  /** @throws InputError for an unknown engine */
  constructor(id: string) {
    this.entry = engineNamed(id);
  }

  get(): Promise<Engine> {
    this.#engine ??= createEngine(this.entry.id);
    return this.#engine;
  }

  get loaded(): boolean {
    return this.#engine !== undefined;
  }
}

/** Counts the `seconds` of each stage; `timed` does some work and adds its time to one. */
export function stopwatch() {
  const seconds: Record<string, number> = {};
  const timed = async <T>(stage: string, work: () => T | Promise<T>): Promise<T> => {
    const start = performance.now();
    const result = await work();
    seconds[stage] = (seconds[stage] ?? 0) + (performance.now() - start) / 1000;
    return result;
  };
  return { seconds, timed };
}

interface Verified {
  files: number;
  /** A line for each file that differs from what was written. */
  readonly damaged: string[];
  /** A line for each item that was not read, with the reason. */
  readonly notRead: string[];
}

/** Reads all files of a cache: results, finished or not, datasets, checkpoints, locks. */
export async function verifyAll(cache: string, store: Store, progress: Progress): Promise<Readonly<Verified>> {
  const found: Verified = { files: 0, damaged: [], notRead: [] };
  await verifyResults(store, progress, found);
  await verifyLocks(cache, found);
  await verifyDatasets(join(cache, 'data'), progress, found);
  await verifyCheckpoints(join(cache, 'models'), found);
  return found;
}

async function verifyResults(store: Store, progress: Progress, found: Verified): Promise<void> {
  const entries = await store.list();
  const task = progress.begin('verifying results', entries.length, 'results');
  const rotten = (error: unknown): void => {
    if (!(error instanceof CorruptEntryError)) throw error;
    found.damaged.push(error.message);
  };
  for (const [index, entry] of entries.entries()) {
    const names = await entry.names().catch((error: unknown) => {
      rotten(error);
      return [];
    });
    found.files += names.length + ((await entry.manifest().catch(() => undefined)) === undefined ? 0 : 1);
    for (const name of names) await entry.verify(name).catch(rotten);
    task.update(index + 1);
  }
  task.end();
}

async function verifyLocks(cache: string, found: Verified): Promise<void> {
  const names = (await ifThere(cache, readdir(cache, { recursive: true }))) ?? [];
  for (const name of names.filter((path) => path.endsWith('.lock'))) {
    const path = join(cache, name);
    const text = await readTextIfThere(path);
    if (text === undefined) continue; // released meanwhile
    found.files++;
    if (holderIn(text) === undefined) found.damaged.push(`${path}: a damaged lock; it counts until nobody renews it`);
  }
}

async function verifyDatasets(root: string, progress: Progress, found: Verified): Promise<void> {
  for (const dataset of datasets) {
    if (!(await dataset.isThere(root))) continue;
    const { name, outside } = dataset;
    if (outside !== undefined) {
      found.notRead.push(
        `${name}: its ${outside} are not in the cache and not read here; run: dgate data verify ${name}`,
      );
      continue;
    }
    try {
      found.files += (await dataset.verify(root, progress)).files.length;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      found.damaged.push(...error.problems.filter((problem) => !problem.startsWith('to fetch it again')));
    }
  }
}

async function verifyCheckpoints(folder: string, found: Verified): Promise<void> {
  const names = (await namesIn(folder)).filter((name) => !/\.(json|part|lock|tmp)$/.test(name));
  for (const name of names.sort()) {
    const path = join(folder, name);
    const recorded = await recordedHash(path);
    const known = knownCheckpoints.find(({ id }) => name.startsWith(`${id}.`))?.sha256;
    if (recorded === 'damaged') found.damaged.push(`${path}.json: is not what was written there`);
    const expected = recorded === 'damaged' ? known : (recorded ?? known);
    if (expected === undefined) {
      found.notRead.push(`${path}: no hash is known to check it with`);
      continue;
    }
    found.files++;
    if (!(await hashFile(path)).startsWith(expected))
      found.damaged.push(`${path}: is not what was downloaded (its sha256 differs)`);
  }
}
