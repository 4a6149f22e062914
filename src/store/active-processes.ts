import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../system-error.js';
import { namesIn, temporaryName } from './files.js';
import { readText } from './input.js';
import { holderIn, isHeld, Lock } from './lock.js';

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
export function registerProcess(root: string): Promise<void> {
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
