import { crc32, inflateRawSync } from 'node:zlib';
import { type Entry, fromBuffer, type ZipFile } from 'yauzl';
import type { Budget } from '../budget.js';
import { InputError, messageOf } from '../errors.js';
import { readPickle } from '../pickle/reader.js';
import { dtypeBytes } from './dtypes.js';
import { findTorchGlobal, storageOf } from './pytorch-globals.js';
import type { StorageRef, TorchFile } from './storages.js';

/** What V8 and yauzl take for an entry, which has at least 46 bytes in an archive. */
const ENTRY_BYTES = 1000;

/** Archives that torch.save does not write, by a name in them. */
const otherArchives: readonly (readonly [RegExp, string])[] = [
  [
    /(?:^|\/)code\//,
    `a TorchScript file; valid: its weights alone: torch.save(torch.jit.load(FILE).state_dict(), ...)`,
  ],
  [
    /(?:^|\/)(?:archive_format|serialized_exported_program\.json|models\/[^/]+\.json)$/,
    'a program of torch.export (.pt2); valid: its weights alone: torch.save(torch.export.load(FILE).state_dict, ...)',
  ],
  [
    /\.npy$/,
    'arrays of NumPy (.npz); valid: torch.save({name: torch.from_numpy(array) for name, array in numpy.load(FILE).items()}, ...)',
  ],
  [/(?:^|\/)model\.weights\.h5$/, 'a model of Keras; valid: an ONNX file, see docs/own-network.md'],
];

/**
 * Reads what torch.save writes since 1.6: a zip archive of `<name>/data.pkl`, `<name>/data/<key>` for each storage and,
 * since 2.1, `<name>/byteorder`. Stored storages are views of the file's bytes; PyTorch aligns them to 64 bytes.
 *
 * @throws InputError where it is cut off, damaged, expands beyond measure or holds anything but tensors and plain data
 */
export async function readZipTorch(bytes: Uint8Array, budget: Budget): Promise<TorchFile> {
  const { where } = budget;
  const archive = await openArchive(bytes, budget);
  const other = otherArchives.find(([pattern]) => [...archive.entries.keys()].some((name) => pattern.test(name)));
  if (other !== undefined) throw new InputError(`${where}: ${other[1]}`);
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
  /** Content of an entry, checked against its CRC where the archive has them. @throws InputError where it is damaged, or the budget is spent */
  read(name: string): Promise<Uint8Array>;
}

async function openArchive(bytes: Uint8Array, budget: Budget): Promise<Archive> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const zip = await new Promise<ZipFile>((resolve, reject) => {
    fromBuffer(buffer, { lazyEntries: true, decodeStrings: false }, (error, opened) =>
      error === null ? resolve(opened) : reject(error),
    );
  }).catch((error: unknown) => {
    throw new InputError(
      `${budget.where}: damaged or truncated zip archive (${messageOf(error)}); valid: a whole torch.save file`,
    );
  });
  const entries = await listEntries(zip, budget);
  // torch.serialization.set_crc32_options(False) leaves every checksum 0.
  const hasChecksums = [...entries.values()].some((entry) => entry.crc32 !== 0);
  return {
    entries,
    async read(name) {
      const entry = entries.get(name)!;
      budget.bytes(entry.uncompressedSize, name);
      const data = await content(zip, entry, bytes, `${budget.where}: ${name}`);
      if (data.byteLength === entry.uncompressedSize && (!hasChecksums || crc32(data) === entry.crc32)) return data;
      throw new InputError(
        `${budget.where}: ${name}: content does not match its checksum; valid: fetch the file again`,
      );
    },
  };
}

async function listEntries(zip: ZipFile, budget: Budget): Promise<Map<string, Entry>> {
  budget.bytes(zip.entryCount * ENTRY_BYTES);
  const entries = new Map<string, Entry>();
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new InputError(`${budget.where}: damaged zip archive: ${what}`));
    zip.on('entry', (entry: Entry) => {
      // Names are keys here and no paths: any is good.
      const name = entry.fileNameRaw.toString('utf8');
      if (entries.has(name)) return fail(`${name} twice`);
      entries.set(name, entry);
      zip.readEntry();
    });
    zip.on('end', () => resolve(entries));
    zip.on('error', (error: unknown) => fail(messageOf(error)));
    zip.readEntry();
  });
}

async function content(zip: ZipFile, entry: Entry, bytes: Uint8Array, at: string): Promise<Uint8Array> {
  if (entry.isEncrypted()) throw new InputError(`${at}: encrypted; valid: a plain torch.save file`);
  const start = await new Promise<number>((resolve, reject) => {
    zip.readLocalFileHeader(entry, { minimal: true }, (error, header) =>
      error === null ? resolve(header.fileDataStart) : reject(error),
    );
  }).catch((error: unknown) => {
    throw new InputError(`${at}: damaged zip archive: ${messageOf(error)}`);
  });
  return unpack(bytes.subarray(start, start + entry.compressedSize), entry, at);
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
