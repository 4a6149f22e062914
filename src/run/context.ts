import { join } from 'node:path';
import { download } from '../checkpoints/fetch.js';
import type { Dataset, Download } from '../data/dataset.js';
import type { Engine } from '../engines/engine.js';
import { createEngine, type EngineEntry, engineNamed } from '../engines/registry.js';
import type { Progress } from '../progress.js';
import { Store } from '../store/store.js';

/** What every stage of a run needs from its surroundings. */
export interface RunContext {
  readonly store: Store;
  /** Every dataset that a network can be run on; the registry's if absent. */
  readonly datasets?: readonly Dataset[];
  /** Folder of all datasets. */
  readonly dataRoot: string;
  /** Folder of fetched checkpoints. */
  readonly modelsRoot: string;
  readonly resultsRoot: string;
  readonly progress: Progress;
  readonly download: Download;
}

/** The surroundings of a run: what is fetched and computed lies in `cache`, tables in `resultsRoot`. */
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

/** An engine that is loaded when a stage first needs it: a run that finds all in the cache loads none. */
export class LazyEngine {
  readonly entry: EngineEntry;
  #engine: Promise<Engine> | undefined;

  /** @throws InputError where there is no such engine */
  constructor(id: string) {
    this.entry = engineNamed(id);
  }

  get(): Promise<Engine> {
    this.#engine ??= createEngine(this.entry.id);
    return this.#engine;
  }

  /** Whether a stage needed it. */
  get loaded(): boolean {
    return this.#engine !== undefined;
  }
}
