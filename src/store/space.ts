import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError } from '../errors.js';
import { exists } from './files.js';

/** Kept free besides what is asked for: manifests, gates, and the disk of a system that must go on. */
const RESERVE_BYTES = 64 * 2 ** 20;

/**
 * Asks for disk space before hours of work.
 *
 * @param path a file or folder that will be made
 * @param freeBytes how much is free where a folder lies; the file system's answer by default
 * @throws InputError with both numbers where it is too little
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
