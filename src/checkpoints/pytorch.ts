import { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import type { TensorMap } from '../tensor.js';
import { readLegacyTorch } from './pytorch-legacy.js';
import { readZipTorch } from './pytorch-zip.js';
import { findStateDict } from './state-dict.js';
import { materialize } from './storages.js';

export type TorchFormat = 'pytorch-zip' | 'pytorch-legacy';

/** Which of torch.save's two formats these bytes begin as, or undefined. */
export function torchFormatOf(bytes: Uint8Array): TorchFormat | undefined {
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) return 'pytorch-zip'; // "PK"
  return bytes[0] === 0x80 ? 'pytorch-legacy' : undefined; // a pickle of protocol 2 or later
}

/**
 * The weights in a torch.save file, as dense float32 tensors. Nothing in the file is executed.
 *
 * @param bytes the whole file; contiguous float32 tensors share its memory
 * @param where what the error messages call it
 * @returns the state dict without wrappers' prefixes, and the keys that lead to it
 * @throws InputError, one line, on files that are damaged, hostile, or hold no weights
 */
export async function readTorch(
  bytes: Uint8Array,
  where: string,
): Promise<{ readonly tensors: TensorMap; readonly path: string; readonly format: TorchFormat }> {
  const format = torchFormatOf(bytes);
  if (format === undefined) {
    throw new InputError(`${where}: not a torch.save file: begins with neither a zip archive nor a pickle`);
  }
  const budget = new Budget(where, bytes.byteLength, 'weights alone: torch.save(model.state_dict(), ...)');
  const { root, storages } = await (format === 'pytorch-zip'
    ? readZipTorch(bytes, budget)
    : readLegacyTorch(bytes, budget));
  const { path, tensors } = findStateDict(root, budget);
  return { tensors: materialize(tensors, storages, budget), path, format };
}
