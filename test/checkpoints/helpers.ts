import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { largestOf } from '../../src/checkpoints/names.js';
import { readTorch as dictionariesOf } from '../../src/checkpoints/pytorch.js';
import { InputError } from '../../src/errors.js';
import { Budget } from '../../src/json.js';
import type { Tensor } from '../../src/tensor.js';

export const fixtures = fileURLToPath(new URL('../fixtures/checkpoints/', import.meta.url));

/** Real checkpoints that are too large for the repository; tests that need them skip themselves where they are not. */
export const shared = fileURLToPath(new URL('../../../shared/checkpoints/', import.meta.url));

export async function fixture(name: string): Promise<Uint8Array> {
  return readFile(join(fixtures, name));
}

/** Runs with a folder of its own, which is removed afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'dgate-checkpoints-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a small file called `where` may take. */
export const budgetOf = (where: string, size = 1000): Budget => new Budget(where, size, 'something else');

/** Fails unless `work` throws an InputError whose text matches; returns the error for more questions. */
export async function refusal(work: () => unknown, pattern: RegExp): Promise<InputError> {
  let thrown: unknown;
  try {
    await work();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, 'nothing was refused').to.be.instanceOf(InputError);
  expect((thrown as InputError).message).to.match(pattern);
  return thrown as InputError;
}

/** Every tensor of the largest dictionary in a torch.save file, without what is before all names. */
export async function readTorch(bytes: Uint8Array, where: string) {
  const { dictionaries, format } = await dictionariesOf(bytes, where);
  const { path, shapes, read } = largestOf(dictionaries);
  const short = (name: string) => name.replace(/^(?:module\.|_orig_mod\.)+/, '');
  const tensors = new Map([...read(shapes.keys())].map(([name, tensor]): [string, Tensor] => [short(name), tensor]));
  return { tensors, path, format };
}
