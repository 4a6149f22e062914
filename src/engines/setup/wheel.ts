import { createHash } from 'node:crypto';
import { closeSync, createWriteStream, mkdirSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Transform } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { type Entry, fromFdPromise, type ZipFile } from 'yauzl';
import { Budget } from '../../budget.js';
import { messageOf } from '../../errors.js';
import { openInputSync } from '../../store/input.js';
import { systemCode } from '../../system-error.js';
import { fail } from './fail.js';

/** An open Python wheel: a zip file. */
export interface Wheel {
  readonly path: string;
  readonly zip: ZipFile;
  readonly entries: ReadonlyMap<string, Entry>;
}

/** What a wheel states about its content. */
export interface WheelRecords {
  /** Base64url SHA-256 of each file. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Text of its METADATA. */
  readonly metadata: string;
}

/** Keeps a wheel open while `use` works on it. @throws InputError if there is no such file, or it is not a zip file */
export async function withWheel<T>(path: string, use: (wheel: Wheel) => Promise<T>): Promise<T> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) fail(`${path} is not a file; give the path of a wheel`);
  const fd = openInputSync(path);
  try {
    return await use(await openWheel(fd, path));
  } finally {
    closeSync(fd);
  }
}

async function openWheel(fd: number, path: string): Promise<Wheel> {
  const entries = new Map<string, Entry>();
  try {
    // Names stay bytes: yauzl would refuse unsafe ones without naming the file, and `extractEntry` gets the target path.
    const zip = await fromFdPromise(fd, { decodeStrings: false, autoClose: false });
    for await (const entry of zip.eachEntry()) entries.set(entry.fileName.toString(), entry);
    return { path, zip, entries };
  } catch (error) {
    return fail(`${path} cannot be read as a zip file (${messageOf(error)}); fetch it again`);
  }
}

/** The records of a wheel whose distribution name starts with `distribution`; undefined if it has none. */
export async function readRecords(wheel: Wheel, distribution: string): Promise<WheelRecords | undefined> {
  const record = [...wheel.entries.keys()].find(
    (name) => name.startsWith(distribution) && /^[^/]*\.dist-info\/RECORD$/.test(name),
  );
  if (record === undefined) return undefined;
  const lines = (await entryText(wheel, record)).split('\n').map((line) => /^"?(.*?)"?,sha256=([^,]*),/.exec(line));
  const hashes = lines.flatMap((match): [string, string][] =>
    match === null ? [] : [[match[1]!, match[2]!.replace(/=+$/, '')]],
  );
  return { hashes: new Map(hashes), metadata: await entryText(wheel, record.replace(/RECORD$/, 'METADATA')) };
}

/** A small entry's text. @throws InputError if it is missing or damaged */
export async function entryText({ path, zip, entries }: Wheel, name: string): Promise<string> {
  const entry = entries.get(name);
  if (entry === undefined) return fail(`${path} holds no ${name}; fetch it again`);
  new Budget(path, entry.compressedSize, 'the wheel as it was published').bytes(entry.uncompressedSize, name);
  try {
    return (await buffer(await zip.openReadStreamPromise(entry))).toString();
  } catch (error) {
    return fail(`${name} in ${path} cannot be read (${messageOf(error)}); fetch it again`);
  }
}

/** Extracts one file and compares it with the wheel's record. @throws InputError if they differ, or the disk is full */
export async function extractEntry(
  { path, zip, entries }: Wheel,
  name: string,
  sha256: string | undefined,
  target: string,
): Promise<void> {
  mkdirSync(dirname(target), { recursive: true });
  const entry = entries.get(name)!;
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const file = basename(path);
  try {
    await pipeline(await zip.openReadStreamPromise(entry), hashing, createWriteStream(target));
  } catch (error) {
    if (systemCode(error) === 'ENOSPC') {
      fail(`the disk of ${dirname(target)} is full; free ${Math.ceil(entry.uncompressedSize / 1e6)} MB more`);
    }
    fail(`${name} in ${file} cannot be read (${messageOf(error)}); fetch the wheel again`);
  }
  if (hash.digest('base64url') !== sha256) {
    fail(`${name} in ${file} does not match the wheel's record; fetch the wheel again`);
  }
}
