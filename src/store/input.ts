import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, lstat, open, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, normalize, relative, sep } from 'node:path';
import { asSystemProblem, InputError, systemCode } from '../errors.js';

/**
 * Every file that is read is opened here, and only regular files: reading a pipe would wait for its writer, a device has no end,
 * and opening one can have effects.
 */

/** Node's limit for a buffer. */
const MOST_BYTES = 2 ** 31 - 1;
/** Half of V8's longest string. */
export const MOST_TEXT = 2 ** 28;
/** Does not block if a pipe replaces the file between two calls. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** An open regular file. */
export interface InputFile {
  readonly path: string;
  readonly handle: FileHandle;
  /** Size in bytes when it was opened; no more is read. */
  readonly size: number;
}

/** Opens a regular file. @throws InputError for others; the system's error if it cannot be opened */
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
 * Opens a file that another file names, in this folder or below it after following all links.
 *
 * @param owner the other file, for messages: `the model`
 * @throws InputError if it is elsewhere or not a regular file; the system's error if it does not exist
 */
export async function openBelow(folder: string, name: string, owner: string): Promise<InputFile> {
  const valid = `valid: a file in ${owner}'s folder or below it, no link out of it`;
  if (name === '' || name.includes('\0') || isAbsolute(name) || /^[A-Za-z]:|\\/.test(name)) {
    throw new InputError(`${JSON.stringify(name)}: not a file name; ${valid}`);
  }
  const leadsOut = new InputError(`${name}: leads out of its folder; ${valid}`);
  if (/^\.\.(?:\/|$)/.test(normalize(name))) throw leadsOut;
  const inside = relative(await realpath(folder), await realpath(join(folder, name)));
  if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) throw leadsOut;
  return openInput(join(await realpath(folder), inside));
}

/** Bytes of an open file; fewer if it was truncated. */
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

/** Reads a whole file. @throws InputError if it is not regular or too large; the system's error if it cannot be opened */
export async function readRegular(path: string, most = MOST_BYTES): Promise<Buffer> {
  const file = await openInput(path);
  try {
    assertSize(path, file.size, most);
    return await readPart(file, 0, file.size);
  } finally {
    await file.handle.close();
  }
}

/** A whole file as text. @throws as {@link readInput} */
export async function readText(path: string): Promise<string> {
  return (await readInput(path, MOST_TEXT)).toString('utf8');
}

/** Synchronous {@link readRegular}. */
export function readRegularSync(path: string, most = MOST_BYTES): Buffer {
  const file = openInputSync(path);
  try {
    const { size } = fstatSync(file);
    assertSize(path, size, most);
    return size === 0 ? Buffer.alloc(0) : readFileSync(file); // no more than the size, except of files without one
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

/** Reads a user's file. @throws InputError with one line for any problem */
export async function readInput(path: string, most = MOST_BYTES): Promise<Buffer> {
  try {
    return await readRegular(path, most);
  } catch (error) {
    throw asInputProblem(error, path);
  }
}

/** The problem of a user's file, in one line. */
export function asInputProblem(error: unknown, path: string): unknown {
  if (systemCode(error) === 'ENOENT') return new InputError(`${path}: no such file`, { cause: error });
  return asSystemProblem(error, path) ?? error;
}

/** Checks a user's file before a library opens it. @throws InputError if it is not a regular file */
export async function assertInput(path: string, shown = path): Promise<void> {
  try {
    assertRegular(shown, await stat(path));
  } catch (error) {
    throw asInputProblem(error, shown);
  }
}

/** Refuses to replace a device, a pipe or a socket (`--out /dev/null`). @throws InputError */
export async function assertReplaceable(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined); // writing reports other problems
  if (found !== undefined && !found.isSymbolicLink()) assertRegular(path, found);
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
