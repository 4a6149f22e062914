import { createReadStream, fstatSync, readSync } from 'node:fs';
import { Readable } from 'node:stream';
import { createInflateRaw } from 'node:zlib';
import { messageOf } from '../../errors.js';
import { fail } from './fail.js';

/** Where an entry lies in a zip file. */
export interface ZipEntry {
  readonly method: number;
  readonly compressed: number;
  readonly size: number;
  readonly offset: number;
}

/** A zip file that is open. */
export interface Zip {
  readonly fd: number;
  readonly path: string;
  readonly entries: ReadonlyMap<string, ZipEntry>;
}

const FULL = 0xffffffff;
/** Bytes of the end record and of the longest comment behind it. */
const LONGEST_TAIL = 65_557;

/**
 * Reads the list of entries, zip64 included (wheels of TensorFlow are larger than 32 bits count in newer tools).
 *
 * @throws InputError where the file is no zip file, or not whole
 */
export function openZip(fd: number, path: string): Zip {
  try {
    return { fd, path, entries: readEntries(fd, path) };
  } catch (error) {
    if (error instanceof RangeError) fail(`${path} has a damaged file list; fetch it again`); // a number led outside it
    throw error;
  }
}

function readEntries(fd: number, path: string): Map<string, ZipEntry> {
  const { count, at, size } = findDirectory(fd, path);
  const directory = readAt(fd, path, at, size);
  const entries = new Map<string, ZipEntry>();
  for (let position = 0, i = 0; i < count; i++) {
    if (directory.readUInt32LE(position) !== 0x02014b50) fail(`${path} has a damaged file list; fetch it again`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) => directory.readUInt16LE(position + o));
    const start = position + 46;
    const extra = directory.subarray(start + nameLength!, start + nameLength! + extraLength!);
    entries.set(directory.toString('utf8', start, start + nameLength!), readEntryRecord(directory, position, extra));
    position = start + nameLength! + extraLength! + commentLength!;
  }
  return entries;
}

function readEntryRecord(directory: Buffer, position: number, extra: Buffer): ZipEntry {
  let size = directory.readUInt32LE(position + 24);
  let compressed = directory.readUInt32LE(position + 20);
  let offset = directory.readUInt32LE(position + 42);
  for (let field = 0; field + 4 <= extra.length; field += 4 + extra.readUInt16LE(field + 2)) {
    if (extra.readUInt16LE(field) !== 1) continue;
    // zip64: the values that did not fit, in this order
    let at = field + 4;
    const long = (short: number): number => {
      if (short !== FULL) return short;
      at += 8;
      return Number(extra.readBigUInt64LE(at - 8));
    };
    size = long(size);
    compressed = long(compressed);
    offset = long(offset);
  }
  return { method: directory.readUInt16LE(position + 10), compressed, size, offset };
}

function findDirectory(fd: number, path: string): { count: number; at: number; size: number } {
  const { size: fileSize } = fstatSync(fd);
  const tailSize = Math.min(fileSize, LONGEST_TAIL);
  const tail = readAt(fd, path, fileSize - tailSize, tailSize);
  const end = tail.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  if (end < 0) fail(`${path} is no complete wheel (zip) file; fetch it again`);
  const [count, size, at] = [tail.readUInt16LE(end + 10), tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)];
  if (count !== 0xffff && at !== FULL) return { count, at, size };
  const locator = tail.lastIndexOf(Buffer.from('PK\x06\x07', 'latin1'));
  if (locator < 0) fail(`${path} is no complete wheel (zip) file; fetch it again`);
  const record = readAt(fd, path, Number(tail.readBigUInt64LE(locator + 8)), 56);
  const [long, longSize, longAt] = [32, 40, 48].map((offset) => Number(record.readBigUInt64LE(offset)));
  return { count: long!, size: longSize!, at: longAt! };
}

function readAt(fd: number, path: string, at: number, length: number): Buffer {
  if (at < 0 || length < 0 || at + length > fstatSync(fd).size) fail(`${path} ends too early; fetch it again`);
  const bytes = Buffer.alloc(length);
  if (readSync(fd, bytes, 0, length, at) !== length) fail(`${path} ends too early; fetch it again`);
  return bytes;
}

/** An entry's bytes, inflated. */
export function entryStream({ fd, path }: Zip, { method, compressed, offset }: ZipEntry): Readable {
  if (compressed === 0) return Readable.from([]);
  const head = readAt(fd, path, offset, 30);
  const start = offset + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
  const raw = createReadStream(path, { start, end: start + compressed - 1, highWaterMark: 2 ** 20 });
  if (method === 0) return raw;
  const inflate = createInflateRaw({ chunkSize: 2 ** 20 });
  raw.on('error', (error) => inflate.destroy(error));
  return raw.pipe(inflate);
}

/** A small entry's text. */
export async function readText(zip: Zip, name: string): Promise<string> {
  const entry = zip.entries.get(name);
  if (entry === undefined) return fail(`${zip.path} holds no ${name}; fetch it again`);
  const parts: Buffer[] = [];
  try {
    for await (const part of entryStream(zip, entry)) parts.push(part as Buffer);
  } catch (error) {
    fail(`${name} in ${zip.path} cannot be read (${messageOf(error)}); fetch it again`);
  }
  return Buffer.concat(parts).toString();
}
