import { InputError, Problems } from '../errors.js';
import type { Tensor, TensorMap } from '../tensor.js';

/** A tensor that a network needs. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Problems of one kind that are listed one by one; the rest is counted. */
const MOST_LISTED = 20;

/**
 * Names that mean the same tensor in different code bases, brought to one spelling: kuangliu/pytorch-cifar says
 * `shortcut` and `linear` where torchvision, timm and chenyaofo say `downsample` and `fc` or `classifier`. Before 0.4,
 * torchvision's DenseNet said `norm.1` for `norm1`, and its files still do.
 *
 * kuangliu's DenseNet is not translated to torchvision's: it concatenates channels in the opposite order, so weights
 * with the right names and shapes would still be wrong.
 */
const spellings: readonly (readonly [RegExp, string])[] = [
  [/\.downsample\./, '.shortcut.'],
  [/^(?:fc|classifier|head\.fc|head)\./, 'linear.'],
  [/(denselayer\d+\.(?:norm|conv))\.(\d\.)/, '$1$2'],
];

/** Naming schemes from the strictest to the loosest; a scheme gives two names that mean the same one spelling. */
const schemes: readonly ((name: string) => string)[] = [
  (name) => name,
  (name) => spellings.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), name),
];

/** BatchNorm's counter of training steps: no network needs it. */
const ignored = /(?:^|\.)num_batches_tracked$/;

/**
 * The tensors that a network needs, under the network's names and in its order.
 *
 * Of the naming schemes the one is taken that matches most tensors; see `spellings`. `num_batches_tracked` is ignored.
 *
 * @param where the file and the network, for messages: `weights.pth for resnet20-cifar10`
 * @throws InputError listing every missing, unexpected, mis-shaped and non-finite tensor, at most 20 of each kind
 */
export function matchTensors(expected: readonly ExpectedTensor[], found: TensorMap, where: string): TensorMap {
  const given = [...found].filter(([name]) => !ignored.test(name));
  const needed = expected.filter(({ name }) => !ignored.test(name));
  const best = schemes
    .map((scheme) => pair(needed, given, scheme))
    .reduce((a, b) => (b.tensors.size > a.tensors.size ? b : a));

  const misshaped: string[] = [];
  const notFinite: string[] = [];
  for (const { name, shape } of needed) {
    const tensor = best.tensors.get(name);
    if (tensor === undefined) continue;
    if (tensor.shape.length !== shape.length || tensor.shape.some((size, axis) => size !== shape[axis])) {
      misshaped.push(`${name} has shape [${tensor.shape.join(', ')}]; the network needs [${shape.join(', ')}]`);
    } else if (!allFinite(tensor.data)) {
      notFinite.push(`${name} holds values that are not finite`);
    }
  }
  const missing = needed.filter(({ name }) => !best.tensors.has(name)).map(({ name }) => `${name} is missing`);
  const unexpected = best.unexpected.map((name) => `${name} is not in the network`);
  if (missing.length + unexpected.length + misshaped.length + notFinite.length === 0) return best.tensors;

  const fitting = best.tensors.size - misshaped.length - notFinite.length;
  throw new InputError([
    `${where}: ${fitting} of ${needed.length} tensors fit${hintOf(fitting, needed.length, misshaped.length)}`,
    ...listed(missing, 'are missing'),
    ...listed(unexpected, 'are not in the network'),
    ...listed(misshaped, 'have other shapes'),
    ...listed(notFinite, 'are not finite'),
  ]);
}

interface Pairing {
  /** In the network's order; shapes may differ. */
  readonly tensors: Map<string, Tensor>;
  readonly unexpected: readonly string[];
}

function pair(
  needed: readonly ExpectedTensor[],
  given: readonly [string, Tensor][],
  scheme: (name: string) => string,
): Pairing {
  const bySpelling = new Map<string, [string, Tensor]>();
  // The first of two names with one spelling is kept; the other turns up as unexpected.
  for (const entry of given) if (!bySpelling.has(scheme(entry[0]))) bySpelling.set(scheme(entry[0]), entry);
  const tensors = new Map<string, Tensor>();
  const used = new Set<string>();
  for (const { name } of needed) {
    const entry = bySpelling.get(scheme(name));
    if (entry === undefined || used.has(entry[0])) continue;
    tensors.set(name, entry[1]);
    used.add(entry[0]);
  }
  return { tensors, unexpected: given.map(([name]) => name).filter((name) => !used.has(name)) };
}

function hintOf(fitting: number, needed: number, misshaped: number): string {
  if (fitting === 0) return '; these are the weights of another network, or not weights at all';
  if (misshaped > 0 && misshaped <= 2) return '; another number of classes?';
  return fitting < needed / 2
    ? '; these are probably the weights of another network (see `dgate list checkpoints`)'
    : '';
}

function listed(problems: readonly string[], rest: string): string[] {
  return new Problems(problems, MOST_LISTED, `more ${rest}`).lines().map((problem) => `  ${problem}`);
}

/** A loop, since `every` takes ten times as long, which shows with 45 million weights. */
function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
