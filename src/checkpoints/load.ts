import { InputError } from '../errors.js';
import { sha256 } from '../store/files.js';
import { readInput } from '../store/input.js';
import type { TensorMap } from '../tensor.js';
import { toTensors } from './int8.js';
import { readTorch, type TorchFormat, torchFormatOf } from './pytorch.js';
import { parseSafetensors } from './safetensors.js';

export { type ExpectedTensor, matchTensors } from './names.js';

export type CheckpointFormat = 'safetensors' | TorchFormat;

export interface Checkpoint {
  /** Float32, under the file's names without wrappers such as `module.`. */
  readonly tensors: TensorMap;
  /** Texts from a safetensors header; empty for PyTorch files. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Of the whole file, in hex: a checkpoint's identity in cache keys. */
  readonly sha256: string;
  readonly format: CheckpointFormat;
}

/**
 * Reads a checkpoint of any format that dgate knows, told apart by content and not by the file's name.
 *
 * @throws InputError, one line, where the file is missing, damaged, hostile, or of another format
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const bytes = await readInput(path);
  if (looksLikeSafetensors(bytes)) {
    const { tensors, metadata } = parseSafetensors(bytes, path);
    return { tensors: toTensors(tensors, path), metadata, sha256: sha256(bytes), format: 'safetensors' };
  }
  if (torchFormatOf(bytes) === undefined) {
    const what = bytes.byteLength === 0 ? 'an empty file' : 'neither safetensors nor torch.save';
    throw new InputError(`${path}: ${what}; valid: a .safetensors file or a state dict saved with torch.save`);
  }
  const { tensors, format } = await readTorch(bytes, path);
  return { tensors, metadata: {}, sha256: sha256(bytes), format };
}

/** An 8-byte length below 2^32, then JSON. Its low byte may be a pickle's first, so this is asked before that. */
function looksLikeSafetensors(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 9 && bytes[8] === 0x7b && bytes.subarray(4, 8).every((byte) => byte === 0);
}
