import { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import { ByteReader } from '../pickle/bytes.js';
import { readPickle } from '../pickle/reader.js';
import { type Dictionary, dictionariesIn } from './dictionaries.js';
import { dtypeBytes } from './dtypes.js';
import { findTorchGlobal, storageOf } from './pytorch-globals.js';
import { readZipTorch } from './pytorch-zip.js';
import { materialize, type StorageRef, type TensorRef, type TorchFile } from './storages.js';

export type TorchFormat = 'pytorch-zip' | 'pytorch-legacy';

/** Which of torch.save's two formats these bytes begin as, or undefined. */
export function torchFormatOf(bytes: Uint8Array): TorchFormat | undefined {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return 'pytorch-zip'; // "PK"
  return bytes[0] === 0x80 ? 'pytorch-legacy' : undefined; // a pickle of protocol 2 or later
}

/**
 * Every dictionary of tensors in a torch.save file; those that are asked for become dense float32. Nothing in the file is
 * executed.
 *
 * @param bytes the whole file; contiguous float32 tensors share its memory
 * @param where what the error messages call it
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

/** First pickle of the format of PyTorch 0.1 to 1.5 (`torch/serialization.py`, `MAGIC_NUMBER`). */
const magicNumber = 0x1950a86a20f9469cfc6cn;
const protocolVersion = 1001;

/**
 * Reads the stream that torch.save wrote before 1.6: pickles of a magic number, the protocol version, facts about the
 * machine, the object itself and the storages' keys, then each storage as a 8-byte count of elements and its elements.
 *
 * Always little-endian: PyTorch converted on other machines when writing.
 *
 * @throws InputError where it is cut off, has another magic number or holds anything but tensors and plain data
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
    storages.set(key, reader.bytes(Number(count) * dtypeBytes[storage.dtype]));
  }
  return { root: root.value, storages };
}
