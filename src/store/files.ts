import { createHash, randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseJson } from '../json.js';
import { asSystemProblem, ifThere, systemCode } from '../system-error.js';
import { removeOnExit } from './cleanup.js';
import { assertReplaceable, MOST_TEXT, openInput, readRegular } from './input.js';
import { thisProcess } from './processes.js';

export { removeOnExit, removeTemporaryFiles } from './cleanup.js';
export { canonicalJson, sha256 } from './text.js';

type Bytes = Uint8Array | string;

/** Turns an error of the operating system into an {@link InputError} about this path; returns any other error unchanged. */
export function asFileProblem(error: unknown, path: string): unknown {
  return asSystemProblem(error, path) ?? error;
}

/**
 * Writes a file atomically: a temporary file beside it is flushed to the disk and renamed, so no reader sees a part of it.
 * Makes the folder if it is missing. On failure the temporary file is removed and the old file stays.
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
    // Synchronous: an asynchronous `open` in progress when the process ends would make the file after the cleanup.
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

/**
 * Makes a folder and its parents. Unlike Node's recursive mkdir it throws the file system's error: EROFS on a read-only one,
 * not ENOENT.
 */
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

/** A temporary name beside a file. It names its process, so that leftovers of killed processes are recognised (`sweep.ts`). */
export function temporaryName(path: string): string {
  const { machine, pid } = thisProcess();
  return `${path}.${machine}-${pid}-${randomBytes(4).toString('hex')}.tmp`;
}

/** Hash of a file's bytes, streamed. `encoding` hex for sha256, base64 for npm's sha512 integrity strings. */
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

/** Whether this path exists. @throws InputError if that cannot be told */
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

/** Reads and parses a JSON file; undefined if it is missing. @throws InputError if it is not JSON */
export async function readJson(path: string): Promise<unknown> {
  const text = await readTextIfThere(path);
  return text === undefined ? undefined : parseJson(text, path);
}
