import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../errors.js';
import { exists } from './files.js';

/** Kept free in addition: for manifests, gates and the rest of the system. */
const RESERVE_BYTES = 64 * 2 ** 20;

/**
 * Checks the disk space before hours of work.
 *
 * @param path a file or folder that will be made
 * @param freeBytes free bytes on a folder's file system; asks the file system by default
 * @throws InputError with both numbers if there is too little
 */
export async function assertSpace(
  path: string,
  bytes: number,
  what: string,
  freeBytes: (folder: string) => Promise<number> = freeAt,
): Promise<void> {
  let folder = path;
  while (!(await exists(folder)) && dirname(folder) !== folder) folder = dirname(folder);
  const free = await freeBytes(folder);
  if (bytes + RESERVE_BYTES <= free) return;
  const gigabytes = (value: number): string => `${(value / 1e9).toFixed(2)} GB`;
  throw new InputError(
    `${what}: need ${gigabytes(bytes + RESERVE_BYTES)} in ${folder}, ${gigabytes(free)} are free; valid: make space, or ` +
      'another place (--cache)',
  );
}

async function freeAt(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
