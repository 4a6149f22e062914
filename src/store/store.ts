import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, ifThere, systemCode } from '../errors.js';
import type { Progress } from '../progress.js';
import { CorruptEntryError, Entry, type KeyInputs } from './entry.js';
import { asFileProblem, canonicalJson, makeFolder, namesIn, sha256, temporaryName } from './files.js';
import { readText } from './input.js';
import { abandonedIn, deadLocksIn, describeHolder, holderIn, isHeld, Lock, pause } from './lock.js';

export { CorruptEntryError, Entry, type KeyInputs, type Manifest, type StoredFile } from './entry.js';

/** The part of a lock's text that states since when its holder is active: see {@link Lock}. */
interface ActiveProcess {
  readonly since: string;
}

const folderOf = (root: string): string => join(root, '.running');

const begun = new Map<string, Promise<void>>();

/**
 * Registers this process as a user of a store, with a lock file from its first look at an entry to its end. Entries used since
 * the oldest active process began are in use (entries record when they are used), and are not pruned. A store that cannot
 * be written needs no registration: it cannot be pruned either.
 */
function registerProcess(root: string): Promise<void> {
  const already = begun.get(root);
  if (already !== undefined) return already;
  const beginning = begin(folderOf(root));
  begun.set(root, beginning);
  return beginning;
}

/** Errors of a store that cannot be written. */
const unwritable = ['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT'];

async function begin(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    if (!(await isHeld(path))) await rm(path, { force: true }).catch(() => {});
  }
  await Lock.tryTake(temporaryName(join(folder, 'run')).replace(/\.tmp$/, '.lock')).catch((error: unknown) => {
    if (!unwritable.includes(systemCode(error) ?? '')) throw error;
  });
}

/** Time at which the oldest active process began to use a store, in ms since 1970; Infinity if none is active. */
export async function inUseSince(root: string): Promise<number> {
  const folder = folderOf(root);
  let oldest = Number.POSITIVE_INFINITY;
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    if (!(await isHeld(path))) continue;
    const text = holderIn(await readText(path).catch(() => undefined)) as Partial<ActiveProcess> | undefined;
    // A damaged file of a living process: its start is unknown, so everything counts as in use.
    oldest = Math.min(oldest, Date.parse(text?.since ?? '') || 0);
  }
  return oldest;
}

/**
 * The content-addressed cache: `<root>/<stage>/<key>/`, the key being the hash of everything the result depends on.
 * Two runs that need the same thing find the same folder; a changed input makes another folder.
 */
export class Store {
  constructor(readonly root: string) {}

  /** The entry for these inputs, whether or not it exists. */
  entry(stage: string, inputs: KeyInputs): Entry {
    const key = sha256(canonicalJson({ stage, inputs })).slice(0, 32);
    return new Entry(join(this.root, stage, key), stage, key, inputs, () => registerProcess(this.root));
  }

  /** Every entry on disk, complete or not. Listing does not count as use. */
  async list(): Promise<Entry[]> {
    const found: Entry[] = [];
    for (const stage of await foldersIn(this.root)) {
      for (const key of await foldersIn(join(this.root, stage))) {
        found.push(new Entry(join(this.root, stage, key), stage, key));
      }
    }
    return found;
  }
}

/** Names of the folders in a folder, sorted, without hidden ones. */
async function foldersIn(path: string): Promise<string[]> {
  const entries = (await ifThere(path, readdir(path, { withFileTypes: true }))) ?? [];
  return entries.flatMap((entry) => (entry.isDirectory() && !entry.name.startsWith('.') ? [entry.name] : [])).sort();
}

/** Makes a folder if it is missing. @throws InputError with what to do if it cannot be made or written */
export async function ensureFolder(path: string): Promise<void> {
  try {
    await makeFolder(path);
    if (!(await stat(path)).isDirectory())
      throw new InputError(`${path}: a file stands where a folder is needed: choose another folder`);
  } catch (error) {
    throw asFileProblem(error, path);
  }
}

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

/** A result that may have to be made. */
export interface Wanted {
  readonly entry: Entry;
  /** What it is called: `gate 1 (stage 1)`. */
  readonly label: string;
  /** Makes it and finishes the entry. */
  readonly make: () => Promise<void>;
}

/**
 * Makes what is not in the cache, each thing once however many processes want it: what another process is making is
 * left to it while there is something else to do, then waited for, and taken over where that process dies.
 *
 * @throws CorruptEntryError; InputError where the cache cannot be written
 */
export async function makeAll(progress: Progress, wanted: readonly Wanted[]): Promise<void> {
  let open: readonly Wanted[] = wanted;
  for (let round = 0; open.length > 0; round++) {
    const left: Wanted[] = [];
    for (const item of open) {
      if (await item.entry.isComplete()) {
        progress.note(`${item.label}: in the cache (${item.entry.key})`);
        continue;
      }
      const lock = await item.entry.tryLock();
      if (lock === undefined) {
        left.push(item);
        continue;
      }
      try {
        if (await item.entry.isComplete()) progress.note(`${item.label}: in the cache (${item.entry.key})`);
        else await item.make();
      } finally {
        await lock.release();
      }
    }
    if (left.length > 0 && left.length < open.length) round = 0;
    else if (left.length > 0) {
      if (round === 0) {
        const holder = await describeHolder(left[0]!.entry.lockPath());
        progress.note(`${left.map(({ label }) => label).join(', ')}: waiting for ${holder}, which makes it`);
      }
      await pause(round);
    }
    open = left;
  }
}
