import type { Dataset, Download } from '../data/dataset.js';
import type { Engine } from '../engines/engine.js';
import { createEngine, type EngineEntry, engineNamed } from '../engines/registry.js';
import type { Progress } from '../progress.js';
import type { Store } from '../store/store.js';

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
