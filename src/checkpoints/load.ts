import { InputError, messageOf } from '../errors.js';
import { findDuplicateKey, findOddNumber, parseJson } from '../json.js';
import { sha256, writeFileAtomic } from '../store/files.js';
import { readInput } from '../store/input.js';
import { elementCount, type Tensor, type TensorMap } from '../tensor.js';
import {
  type Dtype,
  dtypes,
  elementBytes,
  isDtype,
  type RawTensor,
  type StoredArray,
  toTensors,
  withoutScales,
} from './dtypes.js';
import { type Dictionary, largestOf } from './names.js';
import { readTorch, type TorchFormat, torchFormatOf } from './pytorch.js';

/** What can be written: a {@link StoredArray}, or a tensor, stored as F32. */
export type Storable = StoredArray | Tensor;

interface SafetensorsContent {
  /** In the order of the data. */
  readonly tensors: ReadonlyMap<string, RawTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Room for 200,000 tensors, parsed within a second; the reference implementation allows 100 MB. */
const maxHeaderBytes = 25_000_000;

/**
 * A safetensors file in pieces: the header, then a view of each array.
 *
 * The header is padded to 8 bytes and larger element types come first: all arrays are aligned and can be read without a copy.
 *
 * @throws RangeError if an array's length contradicts its shape, or a name is reserved
 */
export function* encodeSafetensors(
  arrays: ReadonlyMap<string, Storable>,
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  const ordered = [...arrays].sort(([, a], [, b]) => elementBytes(dtypeOf(b)) - elementBytes(dtypeOf(a)));
  const header: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) header.push(['__metadata__', metadata]);
  let end = 0;
  for (const [name, array] of ordered) {
    if (name === '__metadata__') throw new RangeError('__metadata__ cannot name a tensor in safetensors');
    if (elementCount(array.shape) !== array.data.length) {
      throw new RangeError(`${name}: ${array.data.length} elements do not fill shape [${array.shape.join(', ')}]`);
    }
    const begin = end;
    end += array.data.byteLength;
    header.push([name, { dtype: dtypeOf(array), shape: array.shape, data_offsets: [begin, end] }]);
  }
  // JSON.stringify of one object would move names such as "0" to the front.
  const text = `{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const json = Buffer.from(text, 'utf8');
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  yield length;
  yield padded;
  for (const [, { data }] of ordered) {
    if (data.byteLength > 0) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  }
}

/** Writes a safetensors file atomically. @throws InputError if it cannot be written */
export async function writeSafetensors(
  path: string,
  arrays: ReadonlyMap<string, Storable>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(arrays, metadata));
}

/**
 * Reads a safetensors file as float32 tensors (see `toTensors`).
 *
 * @param source a path, or a file's bytes, whose memory the tensors share
 * @param where name of the file, for messages
 * @throws InputError if it is not a well-formed file
 */
export async function readSafetensors(
  source: string | Uint8Array,
  where = typeof source === 'string' ? source : 'safetensors',
): Promise<{ readonly tensors: TensorMap; readonly metadata: Readonly<Record<string, string>> }> {
  const bytes = typeof source === 'string' ? await readInput(source) : source;
  const { tensors, metadata } = parseSafetensors(bytes, where);
  return { tensors: toTensors(tensors, where), metadata };
}

/** A safetensors file as a dictionary whose tensors are read as float32. @throws InputError as `parseSafetensors` */
function safetensorsDictionary(bytes: Uint8Array, where: string) {
  const { tensors: raw, metadata } = parseSafetensors(bytes, where);
  const read: Dictionary['read'] = (names) => toTensors(raw, where, names);
  return { dictionary: { path: '', shapes: withoutScales(raw), read }, metadata };
}

/**
 * The tensors of a safetensors file with their own element types, as views. The header must be JSON of at most 25 MB without
 * repeated names; the tensors must fill the rest of the file without gap or overlap. Format:
 * github.com/huggingface/safetensors#format.
 *
 * @throws InputError naming the first problem
 */
export function parseSafetensors(bytes: Uint8Array, where: string): SafetensorsContent {
  const { header, text, dataStart } = readHeader(bytes, where);
  const metadata: Record<string, string> = Object.create(null) as Record<string, string>;
  const entries: PlacedTensor[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === '__metadata__') Object.assign(metadata, asMetadata(value, where));
    else entries.push(readEntry(name, value, bytes.subarray(dataStart), where));
  }
  const odd = findOddNumber(text);
  if (odd !== undefined) {
    throw new InputError(`${where}: header has the number ${odd}; valid: whole numbers in plain digits`);
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let expected = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== expected) {
      const fault = begin < expected ? 'overlaps the tensor before it' : 'leaves a gap before it';
      throw new InputError(`${where}: ${name}: ${fault}: begins at byte ${begin}; valid: ${expected}`);
    }
    expected = end;
  }
  const available = bytes.byteLength - dataStart;
  if (expected !== available) {
    throw new InputError(`${where}: ${available} bytes of data; the header's tensors fill ${expected}`);
  }
  return {
    tensors: new Map(entries.map(({ name, dtype, shape, bytes }) => [name, { dtype, shape, bytes }])),
    metadata,
  };
}

function readHeader(bytes: Uint8Array, where: string) {
  if (bytes.byteLength < 10) throw new InputError(`${where}: ${bytes.byteLength} bytes are too few for safetensors`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  const limit = Math.min(maxHeaderBytes, bytes.byteLength - 8);
  if (length > BigInt(limit)) {
    throw new InputError(
      `${where}: header of ${length} bytes; valid: at most ${limit} (truncated, or not safetensors)`,
    );
  }
  const dataStart = 8 + Number(length);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart));
  } catch (error) {
    throw new InputError(`${where}: header is not JSON (${messageOf(error)}); valid: a safetensors file`);
  }
  const header = parseJson(text, `${where}: header`);
  if (!isRecord(header)) throw new InputError(`${where}: header is not a JSON object`);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw new InputError(`${where}: header names ${duplicate} twice; valid: once`);
  return { header, text, dataStart };
}

/** A tensor and its position in the data. */
type PlacedTensor = RawTensor & { readonly name: string; readonly begin: number; readonly end: number };

function readEntry(name: string, value: unknown, data: Uint8Array, where: string): PlacedTensor {
  const at = `${where}: ${name}`;
  if (!isRecord(value)) throw new InputError(`${at}: not an object; valid: {dtype, shape, data_offsets}`);
  const { dtype, shape, data_offsets: offsets } = value as { dtype: unknown; shape: unknown; data_offsets: unknown };
  if (!isDtype(dtype)) {
    const valid = `${Object.keys(dtypes).join(', ')}; save tensor.float()`;
    throw new InputError(`${at}: dtype ${JSON.stringify(dtype)}; valid: ${valid}`);
  }
  if (!isSizes(shape)) throw new InputError(`${at}: shape ${JSON.stringify(shape)}; valid: a list of whole numbers`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw new InputError(`${at}: data_offsets ${JSON.stringify(offsets)}; valid: [begin, end]`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end || end > data.byteLength) {
    throw new InputError(
      `${at}: bytes ${begin} to ${end} lie outside the file's ${data.byteLength} bytes of data; valid: a whole file`,
    );
  }
  // A huge shape must not round to a size that fits.
  const size = elementCount(shape) * elementBytes(dtype);
  if (!Number.isSafeInteger(size) || size !== end - begin) {
    throw new InputError(`${at}: ${end - begin} bytes; ${dtype} [${shape.join(', ')}] needs ${size}`);
  }
  return { name, dtype, shape, begin, end, bytes: data.subarray(begin, end) };
}

function asMetadata(value: unknown, where: string): Record<string, string> {
  if (isRecord(value) && Object.values(value).every((item) => typeof item === 'string')) {
    return value as Record<string, string>;
  }
  throw new InputError(`${where}: __metadata__: valid: an object of strings`);
}

function dtypeOf(array: Storable): Dtype {
  return 'dtype' in array ? array.dtype : 'F32';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

export { fittingNetworks, matchTensors, type Weights, type WeightsChoice, weightsOf } from './fit.js';
export type { ExpectedTensor } from './names.js';

interface Checkpoint {
  /** Every dictionary of tensors in the file, at least one. */
  readonly dictionaries: readonly Dictionary[];
  /** The largest dictionary, float32, under the file's names. */
  readonly tensors: TensorMap;
  /** From a safetensors header; empty for PyTorch files. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Hash of the whole file, in hex, for cache keys. */
  readonly sha256: string;
  readonly format: 'safetensors' | TorchFormat;
}

/**
 * Reads a checkpoint; the content decides its format.
 *
 * @throws InputError, one line, if the file is missing, damaged, hostile, or of another format
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const bytes = await readInput(path);
  if (looksLikeSafetensors(bytes)) {
    const { dictionary, metadata } = safetensorsDictionary(bytes, path);
    return checkpointOf({ dictionaries: [dictionary], metadata, sha256: sha256(bytes), format: 'safetensors' });
  }
  if (torchFormatOf(bytes) === undefined) throw new InputError(`${path}: ${otherFormat(bytes, path)}`);
  const { dictionaries, format } = await readTorch(bytes, path);
  return checkpointOf({ dictionaries, metadata: {}, sha256: sha256(bytes), format });
}

function checkpointOf(content: Omit<Checkpoint, 'tensors'>): Checkpoint {
  return {
    ...content,
    get tensors() {
      const { read, shapes } = largestOf(content.dictionaries);
      return read(shapes.keys());
    },
  };
}

/** An 8-byte length below 2^32, then JSON. Tested before pickles: their first byte may be the length's low byte. */
function looksLikeSafetensors(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 9 && bytes[8] === 0x7b && bytes.subarray(4, 8).every((byte) => byte === 0);
}

const VALID = 'valid: a .safetensors file or a state dict saved with torch.save';
const ONNX = 'an ONNX file; see: dgate model inspect FILE, and docs/own-network.md';

/** Other files by their first characters (latin1, without leading blanks). */
const others: readonly (readonly [string, string])[] = [
  ['\x89HDF', 'an HDF5 file (Keras); valid: an ONNX file, see docs/own-network.md'],
  ['\x93NUMPY', 'a NumPy array; valid: a dict of tensors, saved with torch.save'],
  ['version https://git-lfs', 'a Git LFS pointer, not the file itself; run: git lfs pull'],
  ['<', 'a web page or XML; download the file itself'],
  ['\x1f\x8b', 'compressed (gzip); unpack it first'],
  ['BZh', 'compressed (bzip2); unpack it first'],
  ['\xfd7zXZ', 'compressed (xz); unpack it first'],
  ['{', 'JSON text; valid: the file of weights that it belongs to'],
];

function otherFormat(bytes: Uint8Array, path: string): string {
  if (bytes.byteLength === 0) return `an empty file; ${VALID}`;
  // ONNX begins with a small version in field 1, then another field.
  if (path.endsWith('.onnx') || (bytes[0] === 8 && bytes[1]! < 32)) return ONNX;
  const beginning = Buffer.from(bytes.subarray(0, 100)).toString('latin1').trimStart();
  const other = others.find(([begins]) => beginning.startsWith(begins))?.[1];
  return other ?? `neither safetensors nor torch.save; ${VALID}`;
}
