import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isHeld } from './lock.js';
import { hasEnded } from './processes.js';

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Temporary files in a folder that nobody will finish: those of processes of this machine that have ended, and those
 * that have not changed for a day (of other machines, nothing better is known).
 */
export async function abandonedIn(folder: string): Promise<string[]> {
  const abandoned: string[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const [, machine, pid] = /\.([0-9a-f]{12})-(\d+)-[0-9a-f]{8}\.tmp$/.exec(name) ?? [];
    if (machine === undefined) continue;
    const path = join(folder, name);
    const changed = (await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now();
    // A process id that is used again is no reason to keep a file for ever: a day does.
    if (hasEnded({ machine, pid: Number(pid), started: '' }) || Date.now() - changed > DAY_MS) abandoned.push(path);
  }
  return abandoned;
}

/** Locks in a folder whose holders are dead. */
export async function deadLocksIn(folder: string): Promise<string[]> {
  const locks = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.lock'));
  const paths = locks.map((name) => join(folder, name));
  const held = await Promise.all(paths.map((path) => isHeld(path)));
  return paths.filter((_, i) => !held[i]);
}

/** Removes what killed processes left in a folder. Only a help: what cannot be removed does no harm. */
export async function sweep(folder: string): Promise<void> {
  for (const path of await abandonedIn(folder)) await rm(path, { force: true }).catch(() => {});
}
