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

const limits = { depth: 5, visited: 100_000, wrappers: 8 };

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
export function findStateDict(root: PickleValue, where: string): StateDict {
  const candidates = collect(root);
  let best: StateDict | undefined;
  for (const candidate of candidates) if (best === undefined || isBetter(candidate, best)) best = candidate;
  if (best === undefined) {
    throw new InputError(
      `${where}: holds no named tensors; valid: a state dict, at the top or under ${usualKeys.slice(0, 4).join(', ')}`,
    );
  }
  return { path: best.path, tensors: unwrapped(best.tensors) };
}

function isBetter(a: StateDict, b: StateDict): boolean {
  const difference = rank(a) - rank(b);
  return difference === 0 ? a.tensors.size > b.tensors.size : difference < 0;
}

function rank({ path }: StateDict): number {
  const index = usualKeys.indexOf(path.split(' > ').at(-1)!);
  return index < 0 ? usualKeys.length : index;
}

/** Every dict that holds tensors under text keys. Bounded, since a hostile file may nest or refer to itself. */
function collect(root: PickleValue): StateDict[] {
  const found: StateDict[] = [];
  const seen = new Set<PickleValue>();
  const visit = (value: PickleValue, path: string, depth: number): void => {
    if (!(value instanceof Map) || seen.has(value) || depth > limits.depth || seen.size > limits.visited) return;
    seen.add(value);
    const tensors = new Map<string, TensorRef>();
    for (const [key, item] of value) {
      if (typeof key !== 'string') continue;
      if (item instanceof TensorRef) tensors.set(key, item);
      else visit(item, path === '' ? key : `${path} > ${key}`, depth + 1);
    }
    if (tensors.size > 0) found.push({ path, tensors });
  };
  visit(root, '', 0);
  return found;
}

function unwrapped(tensors: ReadonlyMap<string, TensorRef>): ReadonlyMap<string, TensorRef> {
  let from = 0;
  for (let count = 0; count < limits.wrappers; count++) {
    const names = [...tensors.keys()];
    const wrapper = wrappers.find((prefix) =>
      names.every((name) => name.startsWith(prefix, from) && name.length > from + prefix.length),
    );
    if (wrapper === undefined) break;
    from += wrapper.length;
  }
  return new Map([...tensors].map(([name, tensor]) => [name.slice(from), tensor]));
}
