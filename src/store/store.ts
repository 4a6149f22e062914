import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, ifThere, systemCode } from '../errors.js';
import type { Progress } from '../progress.js';
import { CorruptEntryError, Entry, type KeyInputs } from './entry.js';
import { asFileProblem, canonicalJson, makeFolder, namesIn, sha256, temporaryName } from './files.js';
import { readText } from './input.js';
import { abandonedIn, deadLocksIn, describeHolder, holderIn, isHeld, Lock, pause } from './lock.js';

export { CorruptEntryError, Entry, type KeyInputs, type Manifest, type StoredFile } from './entry.js';

const folderOf = (root: string): string => join(root, '.running');

const begun = new Map<string, Promise<void>>();

/**
 * Registers this process as a user of a store, with a lock file from its first look at an entry to its end. Entries used since
 * the oldest active process began are not pruned.
 */
function registerProcess(root: string): Promise<void> {
  const beginning = begun.get(root) ?? begin(folderOf(root));
  begun.set(root, beginning);
  return beginning;
}

/** Errors of a store that cannot be written, and so not pruned. */
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

/** Time since which the oldest active process uses a store, in ms since 1970; Infinity if none is active. */
export async function inUseSince(root: string): Promise<number> {
  const folder = folderOf(root);
  let oldest = Number.POSITIVE_INFINITY;
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    if (!(await isHeld(path))) continue;
    const text = holderIn(await readText(path).catch(() => undefined)) as { since?: string } | undefined;
    // Without a known start everything counts as in use.
    oldest = Math.min(oldest, Date.parse(text?.since ?? '') || 0);
  }
  return oldest;
}

/** The content-addressed cache: `<root>/<stage>/<key>/`, the key a hash of everything that the result depends on. */
export class Store {
  constructor(readonly root: string) {}

  /** The entry for these inputs, whether or not it exists. */
  entry(stage: string, inputs: KeyInputs): Entry {
    const key = sha256(canonicalJson({ stage, inputs })).slice(0, 32);
    return new Entry(join(this.root, stage, key), stage, key, inputs, () => registerProcess(this.root));
  }

  /** Every entry on disk, complete or not; not a use of them. */
  async list(): Promise<Entry[]> {
    const found: Entry[] = [];
    for (const stage of await subfolders(this.root)) {
      for (const key of await subfolders(join(this.root, stage))) {
        found.push(new Entry(join(this.root, stage, key), stage, key));
      }
    }
    return found;
  }
}

/** Names of the folders in a folder, sorted, without hidden ones; none if it does not exist. */
export async function subfolders(path: string): Promise<string[]> {
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

/** Limits of the cache: removes results unused for so long, and the least recently used ones down to so many bytes. */
export type PruneLimits = Readonly<Partial<Record<'olderThanMs' | 'keepBytes', number | undefined>>>;

export type Pruned = Awaited<ReturnType<typeof prune>>;

/** For clocks that differ, and for entries used just before a run has registered itself. */
const MARGIN_MS = 5 * 60 * 1000;

/**
 * Removes results beyond the limits and leftovers of killed commands; keeps data, checkpoints, and results that a living process
 * works on or may have used.
 *
 * @param cache the cache's folder, which contains the store's
 * @returns results removed and kept; as `temporary`, leftovers of killed commands and duplicates of results
 */
export async function prune(cache: string, store: Store, limits: PruneLimits, dryRun: boolean) {
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
  const removed = [];
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
  const temporary: { path: string; bytes: number }[] = [];
  const idle = kept.filter(({ inUse }) => !inUse).map(({ entry }) => entry);
  for (const path of await leftOver(cache, idle)) {
    const bytes = (await ifThere(path, stat(path)))?.size ?? 0;
    if (!dryRun) await rm(path, { force: true }).catch((error) => Promise.reject(asFileProblem(error, path)));
    temporary.push({ path, bytes });
  }
  return { removed, temporary, kept: { entries: kept.length, bytes: total, inUse: kept.length - idle.length } };
}

/** Removes an entry unless a run has just used it. @returns whether it was removed */
async function removeUnused(entry: Entry, lastUsedMs: number): Promise<boolean> {
  if ((await entry.usage()).lastUsedMs !== lastUsedMs || (await entry.isBusy())) return false;
  await entry.remove();
  return true;
}

/** Temporary files and locks of dead processes in the cache, and files that belong to no result. */
async function leftOver(cache: string, entries: readonly Entry[]): Promise<string[]> {
  const folders = [cache, ...(await foldersBelow(cache))];
  const found = [...folders.map(abandonedIn), ...folders.map(deadLocksIn)];
  const strays = entries.map((entry) =>
    entry.strays().catch((error: unknown) => {
      if (error instanceof CorruptEntryError) return []; // the files are unknown
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
 * Makes results that are not cached, each in one process only. Results that another process is making come last: waits for
 * them, and takes over if that process dies.
 *
 * @throws CorruptEntryError; InputError if the cache cannot be written
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
