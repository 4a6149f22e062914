import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../system-error.js';
import { namesIn } from './files.js';
import { isHeld } from './lock.js';
import { hasEnded } from './processes.js';

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Abandoned temporary files in a folder: those of ended processes of this machine, and those unchanged for a day (the only
 * sign for processes of other machines).
 */
export async function abandonedIn(folder: string): Promise<string[]> {
  const abandoned: string[] = [];
  for (const name of await namesIn(folder)) {
    const [, machine, pid] = /\.([0-9a-f]{12})-(\d+)-[0-9a-f]{8}\.tmp$/.exec(name) ?? [];
    if (machine === undefined) continue;
    const path = join(folder, name);
    const changed = (await ifThere(path, stat(path)))?.mtimeMs ?? Date.now();
    // A reused process id must not keep a file forever: a day is enough.
    if (hasEnded({ machine, pid: Number(pid), started: '' }) || Date.now() - changed > DAY_MS) abandoned.push(path);
  }
  return abandoned;
}

/** Locks in a folder whose holders are dead. */
export async function deadLocksIn(folder: string): Promise<string[]> {
  const locks = (await namesIn(folder)).filter((name) => name.endsWith('.lock'));
  const paths = locks.map((name) => join(folder, name));
  const held = await Promise.all(paths.map((path) => isHeld(path)));
  return paths.filter((_, i) => !held[i]);
}

/** Removes leftovers of killed processes in a folder. Failures are ignored: leftovers do no harm. */
export async function sweep(folder: string): Promise<void> {
  for (const path of await abandonedIn(folder)) await rm(path, { force: true }).catch(() => {});
}
