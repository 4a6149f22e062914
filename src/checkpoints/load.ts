import { InputError } from '../errors.js';
import { sha256 } from '../store/files.js';
import { readInput } from '../store/input.js';
import type { TensorMap } from '../tensor.js';
import { type Dictionary, largestOf } from './names.js';
import { readTorch, type TorchFormat, torchFormatOf } from './pytorch.js';
import { safetensorsDictionary } from './safetensors.js';

export { fittingNetworks, matchTensors, type Weights, type WeightsChoice, weightsOf } from './fit.js';
export type { ExpectedTensor } from './names.js';

type CheckpointFormat = 'safetensors' | TorchFormat;

interface Checkpoint {
  /** Every dictionary of tensors in the file, at least one. */
  readonly dictionaries: readonly Dictionary[];
  /** All of the largest dictionary, float32, under the file's names. */
  readonly tensors: TensorMap;
  /** Texts from a safetensors header; empty for PyTorch files. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Of the whole file, in hex: a checkpoint's identity in cache keys. */
  readonly sha256: string;
  readonly format: CheckpointFormat;
}

/**
 * Reads a checkpoint of any format that dgate knows, recognised by content and not by the file's name.
 *
 * @throws InputError, one line, where the file is missing, damaged, hostile, or of another format
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const bytes = await readInput(path);
  if (looksLikeSafetensors(bytes)) {
    const { dictionary, metadata } = safetensorsDictionary(bytes, path);
    return checkpointOf({ dictionaries: [dictionary], metadata, sha256: sha256(bytes), format: 'safetensors' });
  }
  if (torchFormatOf(bytes) === undefined) throw new InputError(`${path}: ${whatElse(bytes, path)}`);
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

/** An 8-byte length below 2^32, then JSON. Tested before pickles, whose first byte may be the length's low byte. */
function looksLikeSafetensors(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 9 && bytes[8] === 0x7b && bytes.subarray(4, 8).every((byte) => byte === 0);
}

const ONNX = 'an ONNX file; see: dgate model inspect FILE, and docs/own-network.md';

/** Other files, by their first characters (latin1, without leading blanks). */
const others: readonly (readonly [string, string])[] = [
  ['\x89HDF', 'an HDF5 file (Keras); valid: an ONNX file, see docs/own-network.md'],
  ['\x93NUMPY', 'an array of NumPy; valid: a dict of tensors, saved with torch.save'],
  ['version https://git-lfs', 'a pointer of Git LFS, not the file itself; run: git lfs pull'],
  ['<', 'a web page or XML; download the file itself'],
  ['\x1f\x8b', 'compressed (gzip); unpack it first'],
  ['BZh', 'compressed (bzip2); unpack it first'],
  ['\xfd7zXZ', 'compressed (xz); unpack it first'],
  ['{', 'a text in JSON; valid: the file of weights that it belongs to'],
];

function whatElse(bytes: Uint8Array, path: string): string {
  if (bytes.byteLength === 0) return 'an empty file; valid: a .safetensors file or a state dict saved with torch.save';
  // A small version in field 1, then another field: how protocol buffers of ONNX begin.
  if (path.endsWith('.onnx') || (bytes[0] === 8 && bytes[1]! < 32)) return ONNX;
  const beginning = Buffer.from(bytes.subarray(0, 100)).toString('latin1').trimStart();
  const other = others.find(([begins]) => beginning.startsWith(begins))?.[1];
  return (
    other ?? 'neither safetensors nor torch.save; valid: a .safetensors file or a state dict saved with torch.save'
  );
}
