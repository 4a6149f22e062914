import { createHash } from 'node:crypto';
import { closeSync, createWriteStream, mkdirSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '../../errors.js';
import { openInputSync } from '../../store/input.js';
import { codeOf, fail } from './fail.js';
import { entryStream, openZip, readText, type Zip } from './zip.js';

/** What a Python wheel says of itself. */
export interface WheelRecords {
  /** Base64url SHA-256 of each file. */
  readonly hashes: ReadonlyMap<string, string>;
  /** Text of its METADATA. */
  readonly metadata: string;
}

/** Opens a wheel while something is done with it. @throws InputError where there is none, or it is no zip file */
export async function withWheel<T>(path: string, use: (wheel: Zip) => Promise<T>): Promise<T> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) fail(`${path} is no file; give the path of a wheel`);
  const fd = openInputSync(path);
  try {
    return await use(openZip(fd, path));
  } finally {
    closeSync(fd);
  }
}

/** The records of a wheel whose distribution's name begins so; undefined where it has none such. */
export async function readRecords(wheel: Zip, distribution: string): Promise<WheelRecords | undefined> {
  const record = [...wheel.entries.keys()].find(
    (name) => name.startsWith(distribution) && /^[^/]*\.dist-info\/RECORD$/.test(name),
  );
  if (record === undefined) return undefined;
  const lines = (await readText(wheel, record)).split('\n').map((line) => /^"?(.*?)"?,sha256=([^,]*),/.exec(line));
  const hashes = lines.flatMap((match): [string, string][] =>
    match === null ? [] : [[match[1]!, match[2]!.replace(/=+$/, '')]],
  );
  return { hashes: new Map(hashes), metadata: await readText(wheel, record.replace(/RECORD$/, 'METADATA')) };
}

/** Extracts one file and compares it with the wheel's record. @throws InputError where they differ, or the disk is full */
export async function extractEntry(
  wheel: Zip,
  name: string,
  sha256: string | undefined,
  target: string,
): Promise<void> {
  mkdirSync(dirname(target), { recursive: true });
  const entry = wheel.entries.get(name)!;
  const hash = createHash('sha256');
  const tap = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  const file = basename(wheel.path);
  try {
    await pipeline(entryStream(wheel, entry), tap, createWriteStream(target));
  } catch (error) {
    if (codeOf(error) === 'ENOSPC') {
      fail(`the disk of ${dirname(target)} is full; free ${Math.ceil(entry.size / 1e6)} MB more`);
    }
    fail(`${name} in ${file} cannot be read (${messageOf(error)}); fetch the wheel again`);
  }
  if (hash.digest('base64url') !== sha256) {
    fail(`${name} in ${file} does not match the wheel's record; fetch the wheel again`);
  }
}
