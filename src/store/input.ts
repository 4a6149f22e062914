import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, lstat, open, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, normalize, relative, sep } from 'node:path';
import { InputError } from '../errors.js';
import { asSystemProblem, systemCode } from '../system-error.js';

/**
 * Every file that is read is opened here: what users name, what files of others name, and what lies in the cache. Only
 * regular files are opened. A pipe would wait for whoever writes to it, a device has no end, and opening one can do
 * something.
 */

/** Node's own limit, and more than any file that is read whole. */
const MOST_BYTES = 2 ** 31 - 1;
/** Should a pipe take the file's place between two calls, opening it does not wait. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** An open regular file. */
export interface InputFile {
  readonly path: string;
  readonly handle: FileHandle;
  /** In bytes, when it was opened; no more is read. */
  readonly size: number;
}

/** @throws InputError where this is no regular file; the system's own error where there is none or it cannot be opened */
export async function openInput(path: string): Promise<InputFile> {
  assertRegular(path, await stat(path));
  const handle = await open(path, READ);
  try {
    const found = await handle.stat();
    assertRegular(path, found);
    return { path, handle, size: found.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Opens a file that a file of others names: one in this folder or below it, after all links are followed.
 *
 * @param owner what names it, for messages: `the model`
 * @throws InputError where it lies elsewhere or is no regular file; the system's own error where there is none
 */
export async function openBelow(folder: string, name: string, owner: string): Promise<InputFile> {
  const valid = `valid: a file in ${owner}'s folder or below it, no link out of it`;
  if (name === '' || name.includes('\0') || isAbsolute(name) || /^[A-Za-z]:|\\/.test(name)) {
    throw new InputError(`${JSON.stringify(name)}: no name of a file; ${valid}`);
  }
  const leadsOut = new InputError(`${name}: leads out of its folder; ${valid}`);
  if (/^\.\.(?:\/|$)/.test(normalize(name))) throw leadsOut;
  const inside = relative(await realpath(folder), await realpath(join(folder, name)));
  if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
    throw leadsOut;
  }
  return openInput(join(await realpath(folder), inside));
}

/** Bytes from an open file, fewer where it has become shorter. */
export async function readPart({ handle }: InputFile, offset: number, length: number): Promise<Buffer> {
  const data = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(data, done, length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return data.subarray(0, done);
}

/**
 * A whole file.
 *
 * @throws InputError where it is no regular file or a larger one; the system's own error where it cannot be opened
 */
export async function readRegular(path: string, most = MOST_BYTES): Promise<Buffer> {
  const file = await openInput(path);
  try {
    assertSize(path, file.size, most);
    return await readPart(file, 0, file.size);
  } finally {
    await file.handle.close();
  }
}

/** As {@link readRegular}, at once: where only the reading may wait for another turn of the event loop, or nothing. */
export function readRegularSync(path: string, most = MOST_BYTES): Buffer {
  const file = openInputSync(path);
  try {
    const { size } = fstatSync(file);
    assertSize(path, size, most);
    const data = Buffer.allocUnsafeSlow(size);
    let done = 0;
    while (done < size) {
      const bytesRead = readSync(file, data, done, size - done, done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return data.subarray(0, done);
  } finally {
    closeSync(file);
  }
}

/** A descriptor of a regular file, which the caller closes. */
export function openInputSync(path: string): number {
  assertRegular(path, statSync(path));
  const file = openSync(path, READ);
  try {
    assertRegular(path, fstatSync(file));
    return file;
  } catch (error) {
    closeSync(file);
    throw error;
  }
}

/** A whole file that the user names. @throws InputError, one line, whatever is wrong with it */
export async function readInput(path: string, most = MOST_BYTES): Promise<Buffer> {
  try {
    return await readRegular(path, most);
  } catch (error) {
    throw asInputProblem(error, path);
  }
}

/** What is wrong with a file that the user names, as one line. */
export function asInputProblem(error: unknown, path: string): unknown {
  if (systemCode(error) === 'ENOENT') {
    return new InputError(`${path}: no such file`, { cause: error });
  }
  return asSystemProblem(error, path) ?? error;
}

/** Refuses what users name, and is no regular file, before another library opens it. @throws InputError */
export async function assertInput(path: string, shown = path): Promise<void> {
  try {
    assertRegular(shown, await stat(path));
  } catch (error) {
    throw asInputProblem(error, shown);
  }
}

/** Refuses to put a file in the place of a device, a pipe or a socket (`--out /dev/null`). @throws InputError */
export async function assertReplaceable(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined); // what is wrong otherwise, writing says
  if (found !== undefined && !found.isDirectory() && !found.isSymbolicLink()) assertRegular(path, found);
}

function assertRegular(path: string, found: Stats): void {
  if (!found.isFile()) throw new InputError(`${path}: this is ${kindOf(found)}, not a file`);
}

function assertSize(path: string, size: number, most: number): void {
  if (size <= most) return;
  const limit =
    most === MOST_BYTES ? 'larger than 2 GB; valid: a smaller file' : `${size} bytes; valid: at most ${most}`;
  throw new InputError(`${path}: ${limit}`);
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a pipe';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}
