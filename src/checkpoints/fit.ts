import { InputError, Problems } from '../errors.js';
import { listNetworks, networkByName } from '../networks/catalogue.js';
import { networkTensors } from '../networks/network.js';
import type { Tensor, TensorMap } from '../tensor.js';
import {
  type Dictionary,
  dictionaryOf,
  type ExpectedTensor,
  isCounter,
  type Pairing,
  pair,
  prefixesIn,
  sameShape,
  spelled,
} from './names.js';
import { restOf } from './rest.js';

/** Which tensors to take from a file with several sets of weights or more than weights. */
export interface WeightsChoice {
  /** Keys and prefix of the weights, joined by dots; `.` for the top. */
  readonly key?: string | undefined;
  /** Names to leave out; `*` matches any letters. */
  readonly ignore?: string | undefined;
}

export interface Weights {
  /** Under the network's names, in its order. */
  readonly tensors: TensorMap;
  /** What was taken and left out, in words; undefined if the file holds only the network's weights. */
  readonly taken: string | undefined;
  /** What the user should check. */
  readonly doubt: string | undefined;
  /** Mean and standard deviation of the channels (pixels from 0 to 1), if the saved model normalised its images itself. */
  readonly normalisation: { readonly mean: readonly number[]; readonly std: readonly number[] } | undefined;
}

/** Problems of one kind that are listed; the rest is counted. */
const MOST_LISTED = 20;

/** Name of one of several files of a network. */
const shard = /-\d{5}-of-\d{5}\./;

/** Names of weights that a module computes from others before each use. */
const computed = /\.parametrizations\.|\.weight_(?:orig|mask|g|v|u)$/;

/**
 * The network's tensors from the dictionary and prefix that fit. Leaves out and reports tensors outside the prefix.
 *
 * @param where the file and the network, for messages: `weights.pth for resnet20-cifar10`
 * @throws InputError if no set of weights fits (names missing, unexpected, mis-shaped and non-finite tensors), or several
 * different ones do
 */
export function weightsOf(
  expected: readonly ExpectedTensor[],
  dictionaries: readonly Dictionary[],
  where: string,
  choice: WeightsChoice = {},
): Weights {
  const needed = expected.filter(({ name }) => !isCounter(name));
  const pairings = pairingsIn(needed, dictionaries, choice, where);
  const complete = pairings.filter(({ fitting }) => fitting === needed.length);
  const whole = distinct(complete, choice);
  if (whole.length > 1) {
    const keys = whole.map(keyOf);
    throw new InputError(
      `${where}: ${whole.length} sets of weights fit: ${keys.join(', ')}; choose one: --key ${keys[0]}`,
    );
  }
  const best = whole[0] ?? pairings.reduce((a, b) => (isBetter(b, a) ? b : a));
  const others = pairings.filter((other) => other.dictionary === best.dictionary && other.prefix !== best.prefix);
  const rest = restOf(best, others, choice);
  const tensors = read(best, needed);
  const problems = problemsOf(best, tensors, needed, rest.unexpected);
  if (problems.length > 0) {
    const fitting = [...tensors].filter(([name, { data }]) => faultOf(name, data) === undefined).length;
    const hint = shard.test(where)
      ? "; one of several files of a network; valid: all in one: model.save_pretrained(..., max_shard_size='99GB')"
      : hintOf(best, needed, fitting, rest.unexpected, dictionaries);
    throw new InputError([`${where}: ${fitting} of ${needed.length} tensors fit${hint}`, ...problems]);
  }
  const path = keyOf(best);
  const out = rest.leftOut.length > 0 ? `; left out: ${shortList(rest.leftOut)}` : '';
  return {
    tensors,
    taken: path === '.' && out === '' ? undefined : `took ${path === '.' ? 'the top' : path}${out}`,
    doubt: doubtOf(best, needed),
    normalisation: normalisationIn(best.dictionary, rest.leftOut),
  };
}

/** The network's tensors among some in memory. @throws InputError as {@link weightsOf} */
export function matchTensors(expected: readonly ExpectedTensor[], found: TensorMap, where: string): TensorMap {
  return weightsOf(expected, [dictionaryOf(found)], where).tensors;
}

/** Networks of the catalogue whose weights a dictionary holds, with nothing else below their prefix. */
export function fittingNetworks(dictionaries: readonly Dictionary[]): string[] {
  const large = dictionaries.filter(({ shapes }) => shapes.size >= 20 && shapes.size <= 5000);
  return listNetworks()
    .map(({ name }) => name)
    .filter((name) => {
      const needed = networkTensors(networkByName(name));
      return large.some((dictionary) =>
        prefixesIn(dictionary, needed).some((prefix) => {
          const pairing = pair(dictionary, prefix, needed);
          return pairing.fitting === needed.length && restOf(pairing, [], {}).unexpected.length === 0;
        }),
      );
    });
}

function pairingsIn(
  needed: readonly ExpectedTensor[],
  dictionaries: readonly Dictionary[],
  { key }: WeightsChoice,
  where: string,
): Pairing[] {
  const all = dictionaries.flatMap((dictionary) =>
    prefixesIn(dictionary, needed).map((prefix) => pair(dictionary, prefix, needed)),
  );
  if (key === undefined) return all;
  const chosen = all.filter((pairing) => keyOf(pairing) === key || keyOf(pairing).startsWith(`${key}.`));
  if (chosen.length > 0) return chosen;
  throw new InputError(`${where}: --key ${key}: no weights there; valid: ${shortList([...new Set(all.map(keyOf))])}`);
}

/** Its name for `--key`. */
function keyOf({ dictionary: { path }, prefix }: Pairing): string {
  return [path, prefix.slice(0, -1)].filter((part) => part !== '').join('.') || '.';
}

/** Of sets that do not fit, the one with more of the names is better, whatever their shapes. */
const isBetter = (a: Pairing, b: Pairing): boolean =>
  a.names.size === b.names.size ? a.fitting > b.fitting : a.names.size > b.names.size;

/** The sets with different numbers, or the one that the user names. */
function distinct(whole: readonly Pairing[], { key }: WeightsChoice): readonly Pairing[] {
  const named = whole.find((pairing) => keyOf(pairing) === key);
  if (named !== undefined) return [named];
  if (whole.length < 2) return whole;
  const numbers = whole.map(({ dictionary, names }) => [...dictionary.read(names.values()).values()]);
  return whole.filter((_, i) => !numbers.slice(0, i).some((earlier) => sameNumbers(earlier, numbers[i]!)));
}

const sameNumbers = (a: readonly Tensor[], b: readonly Tensor[]): boolean =>
  a.every(({ data }, i) => Buffer.compare(bytesOf(data), bytesOf(b[i]!.data)) === 0);

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength);

function read({ dictionary, names }: Pairing, needed: readonly ExpectedTensor[]): TensorMap {
  const fitting = needed.filter(({ name, shape }) => {
    const given = names.get(name);
    return given !== undefined && sameShape(dictionary.shapes.get(given)!.shape, shape);
  });
  const numbers = dictionary.read(fitting.map(({ name }) => names.get(name)!));
  return new Map(fitting.map(({ name }) => [name, numbers.get(names.get(name)!)!]));
}

function problemsOf(
  { dictionary, names }: Pairing,
  tensors: TensorMap,
  needed: readonly ExpectedTensor[],
  unexpected: readonly string[],
): string[] {
  const missing = needed.filter(({ name }) => !names.has(name)).map(({ name }) => `${name} is missing`);
  const misshaped = needed.flatMap(({ name, shape }) => {
    const given = names.get(name);
    if (given === undefined || tensors.has(name)) return [];
    return [
      `${name} has shape [${dictionary.shapes.get(given)!.shape.join(', ')}]; the network needs [${shape.join(', ')}]`,
    ];
  });
  const notFinite = [...tensors].flatMap(([name, { data }]) =>
    faultOf(name, data) === undefined ? [] : [`${name} holds ${faultOf(name, data)}`],
  );
  const others = unexpected.map((name) => `${name} is not in the network`);
  return [
    ...listed(missing, 'are missing'),
    ...listed(others, 'are not in the network'),
    ...listed(misshaped, 'have other shapes'),
    ...listed(notFinite, 'are not finite'),
  ];
}

function hintOf(
  best: Pairing,
  needed: readonly ExpectedTensor[],
  finite: number,
  unexpected: readonly string[],
  dictionaries: readonly Dictionary[],
): string {
  const shapeOf = (spelling: string): readonly number[] | undefined => {
    const given = best.names.get(needed.find(({ name }) => spelled(name) === spelling)?.name ?? '');
    return given === undefined ? undefined : best.dictionary.shapes.get(given)?.shape;
  };
  if (unexpected.some((name) => computed.test(name))) {
    return '; some weights are in parts; save after remove_parametrizations, remove_weight_norm or prune.remove';
  }
  if (best.fitting === needed.length) {
    if (finite < best.fitting) {
      const which = finite === 0 ? 'every value is NaN or infinite: ' : '';
      return `; ${which}the training diverged; take an earlier checkpoint`;
    }
    const [first = ''] = unexpected;
    const fitting = fittingNetworks(dictionaries);
    if (fitting.length > 0) return `; these fit ${fitting.join(', ')}`;
    const blockOf = (name: string): string => name.slice(best.prefix.length).replace(/^(\w+\.\w+\.).*/, '$1');
    const inside = unexpected.find(
      (name) => /\..*\.weight$/.test(name) && needed.some((own) => own.name.startsWith(blockOf(name))),
    );
    if (inside !== undefined)
      return '; its blocks have more layers, so it is another network; try an ONNX file: docs/own-network.md';
    return `; if the others are no part of the network: dgate model import FILE --ignore '${first.replace(/.*\./, '*')}' ...`;
  }
  const stem = shapeOf('conv1.weight') ?? shapeOf('features.conv0.weight');
  const wanted = needed[0]!.shape;
  if (stem?.[2] === 7 && wanted[2] === 3) {
    return '; its first convolution is 7 x 7, as for large images; this network has 3 x 3; try an ONNX file: docs/own-network.md';
  }
  const classes = shapeOf('linear.weight')?.[0];
  const classesWanted = needed.at(-1)!.shape[0];
  if (needed.length - best.fitting <= 2 && classes !== undefined && classes !== classesWanted) {
    return `; it has ${classes} classes, the network ${classesWanted}; try an ONNX file: docs/own-network.md`;
  }
  const fitting = fittingNetworks(dictionaries);
  if (fitting.length > 0) return `; these fit ${fitting.join(', ')}`;
  const missing = needed.filter(({ name }) => !best.names.has(name)).map(({ name }) => spelled(name));
  if (missing.length + best.fitting === needed.length && best.fitting > 0) {
    if (missing.every((name) => name.startsWith('linear.'))) {
      return '; its classifier is missing; valid: the state dict of the whole network';
    }
    if (missing.every((name) => name.includes('.running_'))) {
      return '; parameters without running statistics; valid: model.state_dict(), not model.parameters()';
    }
  }
  if (best.names.size === 0) return '; none of its names belongs to this network; see: dgate model info FILE';
  return best.fitting < needed.length / 2
    ? '; probably the weights of another network; see: dgate list checkpoints'
    : '';
}

/** Files of huyvnphan/PyTorch_CIFAR10, which pools after the stem, have torchvision's names and kuangliu's shapes. */
function doubtOf({ names }: Pairing, needed: readonly ExpectedTensor[]): string | undefined {
  const isKuangliu =
    needed.some(({ name }) => name === 'linear.weight') && needed.some(({ name }) => name.startsWith('layer4.'));
  if (!isKuangliu || !names.get('linear.weight')?.endsWith('fc.weight')) return undefined;
  return (
    "its names are torchvision's, as those of huyvnphan/PyTorch_CIFAR10, which pools after its first convolution; this network " +
    'does not; check the accuracy: dgate model eval --limit 500'
  );
}

/** Mean and standard deviation of three channels among the tensors left out. */
function normalisationIn(dictionary: Dictionary, leftOut: readonly string[]): Weights['normalisation'] {
  for (const name of leftOut) {
    const other = name.replace(/(?<=^|\.|_)mean$/, 'std');
    if (other === name || !leftOut.includes(other)) continue;
    const [mean, std] = [name, other].map((key) => [...dictionary.read([key]).get(key)!.data]);
    if (mean?.length !== 3 || std?.length !== 3 || !std.every((value) => value > 0)) continue;
    const scale = Math.max(...mean, ...std) > 1 ? 255 : 1;
    const rounded = (values: readonly number[]) => values.map((value) => Number((value / scale).toPrecision(7)));
    return { mean: rounded(mean), std: rounded(std) };
  }
  return undefined;
}

const shortList = (names: readonly string[]): string =>
  names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');

function listed(problems: readonly string[], rest: string): string[] {
  return new Problems(problems, MOST_LISTED, `more ${rest}`).lines().map((problem) => `  ${problem}`);
}

/** What is wrong with a tensor's values. */
function faultOf(name: string, values: Float32Array): string | undefined {
  if (!allFinite(values)) return 'values that are not finite';
  return name.endsWith('running_var') && values.some((value) => value < 0) ? 'negative variances' : undefined;
}

/** A loop: `every` takes ten times as long on 45 million weights. */
function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
