import { crc32, inflateRawSync } from 'node:zlib';
import { type Entry, fromBuffer, type ZipFile } from 'yauzl';
import type { Budget } from '../budget.js';
import { InputError, messageOf } from '../errors.js';
import { dtypeBytes } from './dtypes.js';
import { readPickle } from './pickle.js';
import { findTorchGlobal, storageOf } from './pytorch-globals.js';
import type { StorageRef, TorchFile } from './storages.js';

/** What V8 and yauzl take for an entry, which has at least 46 bytes in an archive. */
const ENTRY_BYTES = 1000;

/**
 * Reads what torch.save writes since 1.6: a zip archive of `<name>/data.pkl`, `<name>/data/<key>` for each storage and,
 * since 2.1, `<name>/byteorder`. Stored storages are views of the file's bytes; PyTorch aligns them to 64 bytes.
 *
 * @throws InputError where it is cut off, damaged, expands beyond measure or holds anything but tensors and plain data
 */
export async function readZipTorch(bytes: Uint8Array, budget: Budget): Promise<TorchFile> {
  const { where } = budget;
  const archive = await openArchive(bytes, budget);
  const pickles = [...archive.entries.keys()].filter((name) => name === 'data.pkl' || name.endsWith('/data.pkl'));
  if (pickles.length !== 1) {
    throw new InputError(`${where}: a zip archive with ${pickles.length} data.pkl; valid: one, as torch.save writes`);
  }
  const prefix = pickles[0]!.slice(0, -'data.pkl'.length);
  const refs = new Map<string, StorageRef>();
  const { value: root } = readPickle(await archive.read(pickles[0]!), 0, {
    budget,
    findGlobal: findTorchGlobal,
    loadPersistent: (id) => {
      const storage = storageOf(id, where);
      refs.set(storage.key, storage);
      return storage;
    },
  });
  const bigEndian = archive.entries.has(`${prefix}byteorder`) && (await byteOrder(archive, prefix, where)) === 'big';
  const storages = new Map<string, Uint8Array>();
  for (const { key, dtype } of refs.values()) {
    const name = `${prefix}data/${key}`;
    if (!archive.entries.has(name)) throw new InputError(`${where}: ${name} is missing from the archive`);
    const data = await archive.read(name);
    storages.set(key, bigEndian ? swapped(data, dtypeBytes[dtype]) : data);
  }
  return { root, storages };
}

interface Archive {
  readonly entries: ReadonlyMap<string, Entry>;
  /** Content of an entry, checked against its CRC. @throws InputError where it is damaged, or the budget is spent */
  read(name: string): Promise<Uint8Array>;
}

async function openArchive(bytes: Uint8Array, budget: Budget): Promise<Archive> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const zip = await new Promise<ZipFile>((resolve, reject) => {
    fromBuffer(buffer, { lazyEntries: true }, (error, opened) => (error === null ? resolve(opened) : reject(error)));
  }).catch((error: unknown) => {
    throw new InputError(
      `${budget.where}: damaged or truncated zip archive (${messageOf(error)}); valid: a whole torch.save file`,
    );
  });
  const entries = await listEntries(zip, budget);
  return {
    entries,
    async read(name) {
      const entry = entries.get(name)!;
      budget.bytes(entry.uncompressedSize, name);
      return content(zip, entry, bytes, budget.where);
    },
  };
}

async function listEntries(zip: ZipFile, budget: Budget): Promise<Map<string, Entry>> {
  budget.bytes(zip.entryCount * ENTRY_BYTES);
  const entries = new Map<string, Entry>();
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new InputError(`${budget.where}: damaged zip archive: ${what}`));
    zip.on('entry', (entry: Entry) => {
      if (entries.has(entry.fileName)) return fail(`${entry.fileName} twice`);
      entries.set(entry.fileName, entry);
      zip.readEntry();
    });
    zip.on('end', () => resolve(entries));
    zip.on('error', (error: unknown) => fail(messageOf(error)));
    zip.readEntry();
  });
}

async function content(zip: ZipFile, entry: Entry, bytes: Uint8Array, where: string): Promise<Uint8Array> {
  const at = `${where}: ${entry.fileName}`;
  if (entry.isEncrypted()) throw new InputError(`${at}: encrypted; valid: a plain torch.save file`);
  const start = await new Promise<number>((resolve, reject) => {
    zip.readLocalFileHeader(entry, { minimal: true }, (error, header) =>
      error === null ? resolve(header.fileDataStart) : reject(error),
    );
  }).catch((error: unknown) => {
    throw new InputError(`${at}: damaged zip archive: ${messageOf(error)}`);
  });
  const packed = bytes.subarray(start, start + entry.compressedSize);
  const data = unpack(packed, entry, at);
  if (data.byteLength !== entry.uncompressedSize || crc32(data) !== entry.crc32) {
    throw new InputError(`${at}: content does not match its checksum; valid: fetch the file again`);
  }
  return data;
}

function unpack(packed: Uint8Array, entry: Entry, at: string): Uint8Array {
  if (entry.compressionMethod === 0) return packed;
  if (entry.compressionMethod !== 8) {
    throw new InputError(`${at}: compression method ${entry.compressionMethod}; valid: 0 (stored) or 8 (deflated)`);
  }
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, entry.uncompressedSize) });
  } catch (error) {
    throw new InputError(`${at}: cannot be inflated: ${messageOf(error)}`);
  }
}

async function byteOrder(archive: Archive, prefix: string, where: string): Promise<string> {
  const order = Buffer.from(await archive.read(`${prefix}byteorder`)).toString('latin1');
  if (order === 'little' || order === 'big') return order;
  throw new InputError(`${where}: byte order ${JSON.stringify(order)}; valid: little, big`);
}

/** A copy with the bytes of every element turned round. */
function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(bytes);
  if (size === 2) return copy.swap16();
  if (size === 4) return copy.swap32();
  return size === 8 ? copy.swap64() : copy;
}
