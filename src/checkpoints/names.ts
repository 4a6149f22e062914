import type { Tensor, TensorMap } from '../tensor.js';

/** Named tensors in a file. */
export interface Dictionary {
  /** Keys that lead to it, joined by dots; empty at the top level. */
  readonly path: string;
  readonly shapes: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Reads some of its tensors. @throws InputError if the file lacks them */
  read(names: Iterable<string>): Map<string, Tensor>;
}

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

/** A tensor that a network needs. */
export interface ExpectedTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Whether this is BatchNorm's counter of training steps, which is not needed. */
export const isCounter = (name: string): boolean => /(?:^|\.)num_batches_tracked$/.test(name);

/**
 * Replacements that unify the names of several code bases: kuangliu/pytorch-cifar has `shortcut` and `linear`, torchvision, timm
 * and chenyaofo `downsample` and `fc` or `classifier`; files of torchvision's DenseNet have `norm.1` for `norm1`; Hugging Face's
 * ResNet counts stages from 0 and names parts by their kind. A classifier may follow a dropout (`fc.1`).
 *
 * kuangliu's DenseNet is not translated to torchvision's: it concatenates channels in the opposite order.
 */
const spellings: readonly (readonly [RegExp, string | ((...groups: string[]) => string)])[] = [
  // Wrappers of single modules.
  [/(?<=\.)(?:_fsdp_wrapped_module|_checkpoint_wrapped_module|_orig_mod|module)\./g, ''],
  [/^embedder\.embedder\./, 'embedder.0.'],
  [/^encoder\.stages\.(\d)\.layers\.(\d+)\./, (_, stage, block) => `layer${Number(stage) + 1}.${block}.`],
  [
    /^(embedder\.|layer\d\.\d+\.(?:layer\.)?)(?:(\d)\.)?(convolution|normalization)\./,
    (_, parent, place, kind) =>
      `${parent.replace(/(?:embedder|layer)\.$/, '')}${kind === 'convolution' ? 'conv' : 'bn'}${Number(place) + 1}.`,
  ],
  [/(\.shortcut\.)(?:(convolution)|normalization)\./, (_, shortcut, isConv) => `${shortcut}${isConv ? 0 : 1}.`],
  [/\.downsample\./, '.shortcut.'],
  [/^(?:fc|classifier|last_linear|head\.fc|head|linear)\.(?:\d\.)?(?=(?:weight|bias)$)/, 'linear.'],
  [/(denselayer\d+\.(?:norm|conv))\.(\d\.)/, '$1$2'],
];

/** Longest name that is translated, in characters and in dotted parts. */
const [LONGEST, MOST_PARTS] = [120, 14];

/** A name in the unified spelling. */
export function spelled(name: string): string {
  if (name.length > LONGEST) return name;
  return spellings.reduce(
    (text, [pattern, by]) => (typeof by === 'string' ? text.replace(pattern, by) : text.replace(pattern, by)),
    name,
  );
}

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

/** A dictionary's tensors below a prefix, matched with a network's. */
export interface Pairing {
  readonly dictionary: Dictionary;
  /** `module.`, or empty. */
  readonly prefix: string;
  /** The file's names by the network's, in its order; shapes may differ. */
  readonly names: ReadonlyMap<string, string>;
  /** Number of tensors with the right shape. */
  readonly fitting: number;
}

/** The prefixes below which most tensors have the right name and shape, and the empty prefix. */
export function prefixesIn(dictionary: Dictionary, needed: readonly ExpectedTensor[]): string[] {
  const wanted = new Map(needed.map((tensor) => [spelled(tensor.name), tensor.shape]));
  const counts = new Map<string, number>([['', 0]]);
  for (const [name, { shape }] of dictionary.shapes) {
    let at = 0;
    for (let part = 0; part < MOST_PARTS; part++) {
      const expected = wanted.get(spelled(name.slice(at)));
      const prefix = name.slice(0, at);
      if (expected !== undefined && sameShape(expected, shape)) counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
      const dot = name.indexOf('.', at);
      if (dot < 0) break;
      at = dot + 1;
    }
  }
  const most = Math.max(...counts.values());
  // The classifier's two tensors may have another prefix.
  const frequent = [...counts].filter(([prefix, count]) => count >= Math.max(1, most - 2) || prefix === '');
  return frequent.map(([prefix]) => prefix).slice(0, 50);
}

/**
 * Pairs a network's tensors with those below a prefix (`backbone.`); the classifier may have a shorter one (`head.fc.`). If
 * several names have the same spelling, it takes the network's own name, otherwise the first.
 */
export function pair(dictionary: Dictionary, prefix: string, needed: readonly ExpectedTensor[]): Pairing {
  const { shapes } = dictionary;
  const found = new Map<string, string>();
  const used = new Set<string>();
  const take = (at: string, among: readonly ExpectedTensor[]): void => {
    const bySpelling = namesBelow(dictionary, at);
    for (const { name } of among) {
      const given = shapes.has(at + name) ? at + name : bySpelling.get(spelled(name));
      if (found.has(name) || given === undefined || used.has(given)) continue;
      found.set(name, given);
      used.add(given);
    }
  };
  take(prefix, needed);
  const classifier = needed.filter(({ name }) => spelled(name).startsWith('linear.'));
  for (let at = prefix; at !== '' && classifier.some(({ name }) => !found.has(name)); ) {
    at = at.replace(/[^.]*\.$/, '');
    take(at, classifier);
  }
  const names = new Map(needed.flatMap(({ name }) => (found.has(name) ? [[name, found.get(name)!] as const] : [])));
  const fits = ({ name, shape }: ExpectedTensor) => {
    const given = names.get(name);
    return given !== undefined && sameShape(shapes.get(given)!.shape, shape);
  };
  return { dictionary, prefix, names, fitting: needed.filter(fits).length };
}

/** Names below a prefix by their spelling without it; the first one of each spelling. */
function namesBelow({ shapes }: Dictionary, prefix: string): Map<string, string> {
  const bySpelling = new Map<string, string>();
  for (const name of shapes.keys()) {
    if (!name.startsWith(prefix) || isCounter(name)) continue;
    const short = spelled(name.slice(prefix.length));
    if (!bySpelling.has(short)) bySpelling.set(short, name);
  }
  return bySpelling;
}
