import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryName } from './files.js';
import { readRegular } from './input.js';
import { holderIn, isHeld, Lock } from './lock.js';

/** What leases need to say besides their holder: see {@link Lock}. */
interface ActiveProcess {
  readonly since: string;
}

const folderOf = (root: string): string => join(root, '.running');

const begun = new Map<string, Promise<void>>();

/**
 * One file for each process that works with a store, from its first look at an entry to its end: what was used since the
 * oldest living process began is in use (entries note when they are used), and is not pruned. A store that cannot be
 * written needs none: nobody can prune it either.
 */
export function registerProcess(root: string): Promise<void> {
  const already = begun.get(root);
  if (already !== undefined) return already;
  const beginning = begin(folderOf(root));
  begun.set(root, beginning);
  return beginning;
}

async function begin(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    if (!(await isHeld(path))) await rm(path, { force: true }).catch(() => {});
  }
  await Lock.tryTake(temporaryName(join(folder, 'run')).replace(/\.tmp$/, '.lock')).catch(() => {});
}

/** When the oldest living process began to use a store, in ms since 1970; Infinity where none does. */
export async function inUseSince(root: string): Promise<number> {
  const folder = folderOf(root);
  let oldest = Number.POSITIVE_INFINITY;
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    if (!(await isHeld(path))) continue;
    const text = holderIn((await readRegular(path).catch(() => undefined))?.toString('utf8')) as
      | Partial<ActiveProcess>
      | undefined;
    // A damaged lease of a living process: nobody knows since when, so everything counts as in use.
    oldest = Math.min(oldest, Date.parse(text?.since ?? '') || 0);
  }
  return oldest;
}
