import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asSystemProblem, InputError, ifThere, systemCode } from '../errors.js';
import { parseJson, seal, unseal } from '../json.js';
import { assertReplaceable, MOST_TEXT, openInput, readRegular } from './input.js';
import { removeOnExit, thisProcess } from './processes.js';

export { canonicalJson, sha256 } from '../json.js';
export { removeOnExit, removeTemporaryFiles } from './processes.js';

type Bytes = Uint8Array | string;

/** An error of the operating system as an {@link InputError} about this path; other errors unchanged. */
export function asFileProblem(error: unknown, path: string): unknown {
  return asSystemProblem(error, path) ?? error;
}

/**
 * Writes a file atomically: flushes a temporary file beside it and renames it. Makes the folder if it is missing. On failure the
 * old file stays.
 *
 * @param chunks the content in one or several pieces
 * @param finalPath the file's name, if it depends on the content
 * @throws InputError if the disk is full, read-only or not permitted
 */
export async function writeFileAtomic(
  path: string,
  chunks: Bytes | Iterable<Bytes> | AsyncIterable<Bytes>,
  finalPath: () => string = () => path,
): Promise<void> {
  await assertReplaceable(path);
  const temporary = temporaryName(path);
  const keep = removeOnExit(temporary);
  try {
    await makeFolder(dirname(path));
    // An asynchronous `open` could make the file after the cleanup of an ending process.
    closeSync(openSync(temporary, 'wx'));
    const file = await open(temporary, 'r+');
    try {
      const pieces = typeof chunks === 'string' || chunks instanceof Uint8Array ? [chunks] : chunks;
      for await (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, finalPath());
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw asFileProblem(error, path);
  } finally {
    keep();
  }
}

/** Makes a folder and its parents. Unlike Node's recursive mkdir it throws EROFS, not ENOENT, on a read-only file system. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return; // if it is a file, the next operation fails
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolder(dirname(path));
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code !== 'EEXIST') throw again;
    });
  }
}

/** A temporary name beside a file. It names its process, for `abandonedIn`. */
export function temporaryName(path: string): string {
  const { machine, pid } = thisProcess();
  return `${path}.${machine}-${pid}-${randomBytes(4).toString('hex')}.tmp`;
}

/** Hash of a file's bytes, streamed. npm's integrity strings are sha512 in base64. */
export async function hashFile(
  path: string,
  algorithm: 'sha256' | 'sha512' = 'sha256',
  encoding: 'hex' | 'base64' = 'hex',
): Promise<string> {
  const hash = createHash(algorithm);
  const { handle } = await openInput(path);
  for await (const chunk of handle.createReadStream({ highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest(encoding);
}

/** Whether this path exists. @throws InputError if the file system cannot say */
export async function exists(path: string): Promise<boolean> {
  return (await ifThere(path, stat(path))) !== undefined;
}

/** Reads a file; undefined if it does not exist. @throws InputError if it exists but cannot be read */
export function readIfThere(path: string, most?: number): Promise<Buffer | undefined> {
  return ifThere(path, readRegular(path, most));
}

/** A whole file as text; undefined if it does not exist. @throws as {@link readIfThere} */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  return (await readIfThere(path, MOST_TEXT))?.toString('utf8');
}

/** Names in a folder; none if it does not exist. @throws InputError if it cannot be read */
export async function namesIn(folder: string): Promise<string[]> {
  return (await ifThere(folder, readdir(folder))) ?? [];
}

/** A parsed JSON file; undefined if it does not exist. @throws InputError if it is not JSON */
export async function readJson(path: string): Promise<unknown> {
  const text = await readTextIfThere(path);
  return text === undefined ? undefined : parseJson(text, path);
}

/** For `JSON.stringify`: a closed gate's threshold becomes the text `Infinity`. */
export const infinityAsText = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

export function readableJson(value: unknown): string {
  return JSON.stringify(value, infinityAsText, 2);
}

/** Writes a sealed record, of which any later change is detected. */
export async function writeSealed(path: string, value: object): Promise<void> {
  await writeFileAtomic(path, seal(JSON.parse(readableJson(value)) as object));
}

/** The content of a sealed file, or why it is not trusted; undefined if it does not exist. */
export async function readSealed(
  path: string,
): Promise<{ readonly found: unknown } | { readonly why: string } | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  const found = unseal(text);
  if (found !== undefined) return { found };
  return { why: `${path}: not as dgate wrote it: edited, damaged, or of an older version` };
}

/** The leaves of a tree by their paths; a list is a leaf. */
export function flatten(value: unknown, path = ''): [path: string, value: number | string][] {
  if (value === undefined) return [];
  if (typeof value === 'number') return [[path, value]];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [[path, typeof value === 'string' ? value : JSON.stringify(value, infinityAsText)]];
  }
  return Object.entries(value).flatMap(([key, item]) => flatten(item, path === '' ? key : `${path}.${key}`));
}

/** Kept free for small files and the rest of the system. */
const RESERVE_BYTES = 64 * 2 ** 20;

/**
 * Checks the disk space before hours of work. @param path a file or folder to be made
 * @throws InputError with both numbers of bytes if there is too little
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
    `${what}: need ${gigabytes(bytes + RESERVE_BYTES)} in ${folder}, ${gigabytes(free)} are free; make space, or choose ` +
      'another place (--cache)',
  );
}

async function freeAt(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
