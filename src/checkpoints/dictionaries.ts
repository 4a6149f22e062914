import type { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import type { PickleValue } from '../pickle/reader.js';
import type { Tensor, TensorMap } from '../tensor.js';
import { TensorRef } from './storages.js';

/** Lists and dicts in each other that are looked into. */
const DEEPEST = 6;

/** Most tensors of a dictionary; the largest network here has 1,200. */
const MOST_TENSORS = 50_000;

/** Named tensors in a file. */
export interface Dictionary {
  /** Keys that lead to it from the top, with a dot between them; empty where it is the top itself. */
  readonly path: string;
  readonly shapes: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** The numbers of some of its tensors. @throws InputError where they are not in the file */
  read(names: Iterable<string>): Map<string, Tensor>;
}

/** A dictionary of tensors that are at hand. */
export function dictionaryOf(tensors: TensorMap): Dictionary {
  return {
    path: '',
    shapes: tensors,
    read: (names) => new Map([...names].map((name) => [name, tensors.get(name)!])),
  };
}

/** The dictionary with the most tensors. */
export function largestOf(dictionaries: readonly Dictionary[]): Dictionary {
  return dictionaries.reduce((a, b) => (b.shapes.size > a.shapes.size ? b : a));
}

/**
 * Every dict that holds tensors under text keys, in whatever dicts and lists a training script put them. Each is looked into
 * once, since a hostile file may refer to itself.
 *
 * @throws InputError where no dict holds a tensor, or one too many
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
