import { crc32, inflateRawSync } from 'node:zlib';
import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl';
import { InputError, messageOf } from '../errors.js';
import { Budget } from '../json.js';
import { ByteReader } from '../pickle/bytes.js';
import { type PickleValue, readPickle } from '../pickle/reader.js';
import { elementBytes } from './dtypes.js';
import type { Dictionary } from './names.js';
import { findTorchGlobal, storageOf } from './pytorch-globals.js';
import { materialize, type StorageRef, TensorRef, type TorchFile } from './storages.js';

export type TorchFormat = 'pytorch-zip' | 'pytorch-legacy';

/** Which of torch.save's two formats these bytes begin with. */
export function torchFormatOf(bytes: Uint8Array): TorchFormat | undefined {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return 'pytorch-zip'; // "PK"
  return bytes[0] === 0x80 ? 'pytorch-legacy' : undefined; // a pickle of protocol 2 or later
}

/**
 * Every dictionary of tensors in a torch.save file; tensors are read as dense float32. Executes nothing.
 *
 * @param bytes the whole file; contiguous float32 tensors share its memory
 * @param where name of the file, for messages
 * @throws InputError, one line, on files that are damaged, hostile, or hold no weights
 */
export async function readTorch(
  bytes: Uint8Array,
  where: string,
): Promise<{ readonly dictionaries: readonly Dictionary[]; readonly format: TorchFormat }> {
  const format = torchFormatOf(bytes);
  if (format === undefined) {
    throw new InputError(`${where}: not a torch.save file: begins with neither a zip archive nor a pickle`);
  }
  const budget = new Budget(where, bytes.byteLength, 'weights alone: torch.save(model.state_dict(), ...)');
  const { root, storages } = await (format === 'pytorch-zip'
    ? readZipTorch(bytes, budget)
    : readLegacyTorch(bytes, budget));
  const dictionaries = dictionariesIn(root, budget).map(({ path, tensors }) => {
    const read = (names: Iterable<string>) => {
      const wanted = new Map<string, TensorRef>();
      for (const name of names) wanted.set(name, tensors.get(name)!);
      return materialize(wanted, storages, budget);
    };
    return { path, shapes: tensors, read };
  });
  return { dictionaries, format };
}

/** `MAGIC_NUMBER` of `torch/serialization.py`: the first pickle in the format of PyTorch 0.1 to 1.5. */
const magicNumber = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;

/**
 * Reads torch.save's format before 1.6, always little-endian: pickles of a magic number, the protocol version, the machine, the
 * object and the storages' keys, then each storage as an 8-byte count and its elements.
 *
 * @throws InputError if it is truncated, has another magic number or holds anything but tensors and plain data
 */
function readLegacyTorch(bytes: Uint8Array, budget: Budget): TorchFile {
  const { where } = budget;
  const found = new Map<string, StorageRef>();
  const loadPersistent = (id: Parameters<typeof storageOf>[0]): StorageRef => {
    const storage = storageOf(id, where);
    const known = found.get(storage.key);
    if (known !== undefined && known.dtype !== storage.dtype) {
      throw new InputError(`${where}: storage ${storage.key} has two element types`);
    }
    if (known === undefined) found.set(storage.key, storage);
    return storage;
  };
  const options = { budget, findGlobal: findTorchGlobal };
  const magic = readPickle(bytes, 0, options);
  if (magic.value !== magicNumber) {
    throw new InputError(`${where}: a pickle, but not torch.save's: magic number is wrong; valid: a torch.save file`);
  }
  const version = readPickle(bytes, magic.end, options);
  if (version.value !== protocolVersion) {
    throw new InputError(`${where}: torch.save protocol is not ${protocolVersion}; valid: a torch.save file`);
  }
  const system = readPickle(bytes, version.end, options);
  const root = readPickle(bytes, system.end, { ...options, loadPersistent });
  const keys = readPickle(bytes, root.end, options);
  if (!Array.isArray(keys.value)) throw new InputError(`${where}: list of storages is missing`);
  const reader = new ByteReader(bytes, keys.end, where);
  const storages = new Map<string, Uint8Array>();
  for (const item of keys.value) {
    const key = typeof item === 'string' || typeof item === 'number' ? String(item) : '';
    const storage = found.get(key);
    if (storage === undefined || storages.has(key))
      throw reader.problem('a storage that no tensor uses, or listed twice');
    const count = reader.uint64();
    if (count > BigInt(bytes.byteLength)) throw reader.problem(`truncated: storage ${key} of ${count} elements`);
    storages.set(key, reader.bytes(Number(count) * elementBytes(storage.dtype)));
  }
  return { root: root.value, storages };
}

/** Memory that V8 and yauzl need for an entry, which has at least 46 bytes in an archive. */
const ENTRY_BYTES = 1000;

/** Other archives, recognised by a name in them. */
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
  [/\.(?:pth?|th|ckpt|bin|safetensors)$/, 'an archive of other files; unpack it and choose one of them'],
  [/(?:^|\/)model\.weights\.h5$/, 'a model of Keras; valid: an ONNX file, see docs/own-network.md'],
];

/**
 * Reads torch.save's format since 1.6: a zip archive of `<name>/data.pkl`, `<name>/data/<key>` for each storage and, since 2.1,
 * `<name>/byteorder`. Uncompressed storages are views of the file's bytes.
 *
 * @throws InputError if it is truncated, damaged, too large or holds anything but tensors and plain data
 */
async function readZipTorch(bytes: Uint8Array, budget: Budget): Promise<TorchFile> {
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
    storages.set(key, bigEndian ? swapped(data, elementBytes(dtype)) : data);
  }
  return { root, storages };
}

/** A zip archive whose entries are read one at a time. */
interface Archive {
  readonly entries: ReadonlyMap<string, Entry>;
  /** Content of an entry, its CRC checked if there is one. @throws InputError if it is damaged, or the budget is spent */
  read(name: string): Promise<Uint8Array>;
}

/** Opens a zip archive. @throws InputError if it is damaged, or lists more than the budget */
export async function openArchive(bytes: Uint8Array, budget: Budget): Promise<Archive> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const zip = await fromBufferPromise(buffer, { decodeStrings: false }).catch((error: unknown) => {
    throw new InputError(
      `${budget.where}: damaged or truncated zip archive (${messageOf(error)}); valid: a whole file`,
    );
  });
  const entries = await listEntries(zip, budget);
  // torch.serialization.set_crc32_options(False) makes every checksum 0.
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
  try {
    for await (const entry of zip.eachEntry()) {
      const name = entry.fileNameRaw.toString('utf8'); // a key here, not a path: every name is valid
      if (entries.has(name)) throw new Error(`${name} twice`);
      entries.set(name, entry);
    }
  } catch (error) {
    throw new InputError(`${budget.where}: damaged zip archive: ${messageOf(error)}`);
  }
  return entries;
}

async function content(zip: ZipFile, entry: Entry, bytes: Uint8Array, at: string): Promise<Uint8Array> {
  if (entry.isEncrypted()) throw new InputError(`${at}: encrypted; valid: a plain file`);
  const header = await zip.readLocalFileHeaderPromise(entry, { minimal: true }).catch((error: unknown) => {
    throw new InputError(`${at}: damaged zip archive: ${messageOf(error)}`);
  });
  const start = header.fileDataStart;
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

/** A copy with the bytes of every element reversed. */
function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const copy = Buffer.from(bytes);
  if (size === 2) return copy.swap16();
  if (size === 4) return copy.swap32();
  return size === 8 ? copy.swap64() : copy;
}

/** Deepest nesting of lists and dicts that is searched. */
const DEEPEST = 6;

/** Most tensors of a dictionary; the largest network here has 1,200. */
const MOST_TENSORS = 50_000;

/**
 * Every dict with tensors under text keys, in any nested dict or list. Visits each once: a hostile file may refer to itself.
 *
 * @throws InputError if no dict holds a tensor, or one too many
 */
export function dictionariesIn(
  root: PickleValue,
  budget: Budget,
): { readonly path: string; readonly tensors: ReadonlyMap<string, TensorRef> }[] {
  const found: { path: string; tensors: Map<string, TensorRef> }[] = [];
  const seen = new Set<PickleValue>();
  const visit = (value: PickleValue, path: string, depth: number): void => {
    if (!(value instanceof Map || Array.isArray(value)) || seen.has(value) || depth > DEEPEST) return;
    seen.add(value);
    budget.steps(value instanceof Map ? value.size : value.length);
    const tensors = new Map<string, TensorRef>();
    for (const [key, item] of value.entries()) {
      const isNamed = typeof key === 'string';
      if (isNamed && item instanceof TensorRef) tensors.set(key, item);
      else if (isNamed || Array.isArray(value)) visit(item, path === '' ? `${key}` : `${path}.${key}`, depth + 1);
    }
    if (tensors.size > MOST_TENSORS) {
      throw new InputError(`${budget.where}: ${tensors.size} named tensors; valid: at most ${MOST_TENSORS}`);
    }
    if (tensors.size > 0) found.push({ path, tensors });
  };
  visit(root, '', 0);
  if (found.length > 0) return found;
  throw new InputError(
    `${budget.where}: holds no named tensors; valid: a state dict: torch.save(model.state_dict(), ...)`,
  );
}
