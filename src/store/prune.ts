import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../system-error.js';
import { inUseSince } from './active-processes.js';
import { CorruptEntryError, type Entry } from './entry.js';
import { asFileProblem } from './files.js';
import type { Store } from './store.js';
import { abandonedIn, deadLocksIn } from './sweep.js';

/** Limits; with both, a result is removed if either allows it. */
export interface PruneLimits {
  /** Removes results that were not used for this long. */
  readonly olderThanMs?: number;
  /** Removes the least recently used results until the others take at most this many bytes. */
  readonly keepBytes?: number;
}

export interface Pruned {
  readonly removed: readonly {
    readonly stage: string;
    readonly key: string;
    readonly bytes: number;
    readonly used: string;
  }[];
  /** Leftovers of killed commands, and duplicates of results. */
  readonly temporary: readonly { readonly path: string; readonly bytes: number }[];
  readonly kept: { readonly entries: number; readonly bytes: number; readonly inUse: number };
}

/** Machines' clocks differ, and a run records the use of an entry before it has registered itself. */
const MARGIN_MS = 5 * 60 * 1000;

/**
 * Removes results that were not used for long, and leftovers of killed commands. Data and checkpoints stay. A result stays if
 * a living process is working on it (a lock) or may have used it (used since the oldest active process began).
 *
 * @param cache the cache's folder, which contains the store's
 */
export async function prune(cache: string, store: Store, limits: PruneLimits, dryRun: boolean): Promise<Pruned> {
  const protectedFrom = (await inUseSince(store.root)) - MARGIN_MS;
  const candidates = await Promise.all(
    (await store.list()).map(async (entry) => {
      const usage = await entry.usage();
      const inUse = usage.lastUsedMs >= protectedFrom || (await entry.isBusy());
      return { entry, ...usage, inUse };
    }),
  );
  candidates.sort((a, b) => a.lastUsedMs - b.lastUsedMs);
  let total = candidates.reduce((sum, { bytes }) => sum + bytes, 0);
  const removed: Pruned['removed'][number][] = [];
  const kept: typeof candidates = [];
  for (const candidate of candidates) {
    const { entry, bytes, lastUsedMs, inUse } = candidate;
    const isOld = limits.olderThanMs !== undefined && Date.now() - lastUsedMs > limits.olderThanMs;
    const isTooMuch = limits.keepBytes !== undefined && total > limits.keepBytes;
    if (inUse || !(isOld || isTooMuch) || !(dryRun || (await removeUnused(entry, lastUsedMs)))) {
      kept.push(candidate);
      continue;
    }
    total -= bytes;
    removed.push({ stage: entry.stage, key: entry.key, bytes, used: new Date(lastUsedMs).toISOString() });
  }
  const temporary = [];
  for (const path of await leftOver(
    cache,
    kept.filter(({ inUse }) => !inUse).map(({ entry }) => entry),
  )) {
    const bytes = (await ifThere(path, stat(path)))?.size ?? 0;
    if (!dryRun) await rm(path, { force: true }).catch((error) => Promise.reject(asFileProblem(error, path)));
    temporary.push({ path, bytes });
  }
  return {
    removed,
    temporary,
    kept: { entries: kept.length, bytes: total, inUse: kept.filter(({ inUse }) => inUse).length },
  };
}

/** Checks once more: a run may have used it meanwhile. @returns whether it was removed */
async function removeUnused(entry: Entry, lastUsedMs: number): Promise<boolean> {
  if ((await entry.usage()).lastUsedMs !== lastUsedMs || (await entry.isBusy())) return false;
  await entry.remove();
  return true;
}

/** Temporary files of dead processes anywhere in the cache, and files of the store that belong to no result. */
async function leftOver(cache: string, entries: readonly Entry[]): Promise<string[]> {
  const folders = [cache, ...(await foldersBelow(cache))];
  const found = [...folders.map(abandonedIn), ...folders.map(deadLocksIn)];
  const strays = entries.map((entry) =>
    entry.strays().catch((error: unknown) => {
      if (error instanceof CorruptEntryError) return []; // a damaged manifest does not tell which files are known
      throw error;
    }),
  );
  return (await Promise.all([...found, ...strays])).flat();
}

async function foldersBelow(folder: string): Promise<string[]> {
  const entries = (await ifThere(folder, readdir(folder, { withFileTypes: true }))) ?? [];
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
  return [...folders, ...(await Promise.all(folders.map(foldersBelow))).flat()];
}
