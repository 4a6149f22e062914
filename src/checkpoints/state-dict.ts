import type { Budget } from '../budget.js';
import { InputError } from '../errors.js';
import type { PickleValue } from './pickle.js';
import { TensorRef } from './storages.js';

/** Where training scripts keep the weights, the likeliest first. */
const usualKeys = [
  'state_dict',
  'model_state_dict',
  'model_state',
  'model',
  'net',
  'network',
  'weights',
  'params',
  'module',
  'state_dict_ema',
  'model_ema',
  'ema_state_dict',
  'ema',
];

/** Put before every name by DataParallel, torch.compile, Lightning and the like. */
const wrappers = ['module.', '_orig_mod.', 'model.', 'net.', 'network.'];

/** Dicts in dicts that are looked into. */
const DEEPEST = 5;

export interface StateDict {
  /** Keys that lead to it from the top, e.g. `state_dict`; empty where the file is the state dict itself. */
  readonly path: string;
  /** Under the network's names, wrappers removed. */
  readonly tensors: ReadonlyMap<string, TensorRef>;
}

/**
 * Finds the weights in whatever a training script saved: under a usual key such as `state_dict`, else the dict with the
 * most tensors. Wrappers that stand before every name (`module.`) are removed, also several.
 *
 * @throws InputError where no dict holds a tensor
 */
export function findStateDict(root: PickleValue, budget: Budget): StateDict {
  const candidates = collect(root, budget);
  let best: Candidate | undefined;
  for (const candidate of candidates) if (best === undefined || isBetter(candidate, best)) best = candidate;
  if (best === undefined) {
    throw new InputError(
      `${budget.where}: holds no named tensors; valid: a state dict, at the top or under ${usualKeys.slice(0, 4).join(', ')}`,
    );
  }
  return { path: best.keys.join(' > '), tensors: unwrapped(best.tensors) };
}

interface Candidate {
  readonly keys: readonly string[];
  readonly tensors: ReadonlyMap<string, TensorRef>;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  const difference = rank(a) - rank(b);
  return difference === 0 ? a.tensors.size > b.tensors.size : difference < 0;
}

function rank({ keys }: Candidate): number {
  const index = usualKeys.indexOf(keys.at(-1) ?? '');
  return index < 0 ? usualKeys.length : index;
}

/** Every dict that holds tensors under text keys; each is looked into once, since a hostile file may refer to itself. */
function collect(root: PickleValue, budget: Budget): Candidate[] {
  const found: Candidate[] = [];
  const seen = new Set<PickleValue>();
  const visit = (value: PickleValue, keys: readonly string[]): void => {
    if (!(value instanceof Map) || seen.has(value) || keys.length > DEEPEST) return;
    seen.add(value);
    budget.steps(value.size);
    const tensors = new Map<string, TensorRef>();
    for (const [key, item] of value) {
      if (typeof key !== 'string') continue;
      if (item instanceof TensorRef) tensors.set(key, item);
      else visit(item, [...keys, key]);
    }
    if (tensors.size > 0) found.push({ keys, tensors });
  };
  visit(root, []);
  return found;
}

function unwrapped(tensors: ReadonlyMap<string, TensorRef>): ReadonlyMap<string, TensorRef> {
  const names = [...tensors.keys()];
  let from = 0;
  for (;;) {
    const wrapper = wrappers.find((prefix) =>
      names.every((name) => name.startsWith(prefix, from) && name.length > from + prefix.length),
    );
    if (wrapper === undefined) break;
    from += wrapper.length;
  }
  return from === 0 ? tensors : new Map([...tensors].map(([name, tensor]) => [name.slice(from), tensor]));
}
