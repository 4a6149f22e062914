import { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import { type Dictionary, dictionariesIn } from './dictionaries.js';
import { readLegacyTorch } from './pytorch-legacy.js';
import { readZipTorch } from './pytorch-zip.js';
import { materialize, type TensorRef } from './storages.js';

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
