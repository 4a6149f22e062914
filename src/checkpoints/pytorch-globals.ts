import { InputError } from '../errors.js';
import { PickleGlobal, type PickleValue } from '../pickle/reader.js';
import { type Dtype, dtypes } from './dtypes.js';
import plain from './pickle-globals.json' with { type: 'json' };
import { StorageRef, TensorRef } from './storages.js';

/** `torch.float32` and its like. */
class DtypeRef extends PickleGlobal {
  constructor(
    name: string,
    readonly dtype: Dtype,
  ) {
    super(name, (_args, where) => refuse(name, where));
  }
}

/** Stand-ins for the globals that torch.save writes. They only build data. */
const globals = new Map<string, PickleGlobal>();

function allow(name: string, call: PickleGlobal['call']): PickleGlobal {
  const made = new PickleGlobal(name, call);
  globals.set(name, made);
  return made;
}

for (const [dtype, { torch }] of Object.entries(dtypes)) {
  for (const name of torch.flatMap((one) => [`torch.${one}`, `torch.storage.${one}`])) {
    globals.set(name, new DtypeRef(name, dtype as Dtype));
  }
}

/** Functions that build a tensor from a storage. */
const makers = [
  // (storage, offset, shape, stride)
  allow('torch._utils._rebuild_tensor', (args, where) => tensorOf(args.slice(0, 4), undefined, args.slice(4), where)),
  // (storage, offset, shape, stride, requires_grad, backward_hooks[, metadata])
  allow('torch._utils._rebuild_tensor_v2', ([storage, offset, shape, stride, ...rest], where) =>
    tensorOf([storage, offset, shape, stride], undefined, rest, where),
  ),
  // (storage, offset, shape, stride, requires_grad, backward_hooks, dtype[, metadata]); the storage is untyped.
  allow('torch._utils._rebuild_tensor_v3', (args, where) => {
    const [storage, offset, shape, stride, grad, hooks, dtype, ...rest] = args;
    if (!(dtype instanceof DtypeRef)) refuse('a tensor without a known dtype', where);
    return tensorOf([storage, offset, shape, stride], dtype.dtype, [grad, hooks, ...rest], where);
  }),
];
// (tensor, requires_grad, backward_hooks[, state])
for (const name of ['torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state']) {
  allow(name, ([tensor, grad, hooks, ...state], where) => {
    assertNoHooks(grad, hooks, where);
    return withAttributes(tensor, state, where);
  });
}
/** Tensor classes whose instances may have attributes. */
const ownClasses = ['torch.Tensor', 'torch.nn.parameter.Parameter', 'torch.nn.parameter.Buffer'].map((name) =>
  allow(name, (_args, where) => refuse(name, where)),
);
// (maker, class, the maker's arguments, state)
allow('torch._tensor._rebuild_from_type_v2', ([make, type, args, ...state], where) => {
  const maker = makers.find((known) => known === make);
  if (maker === undefined || !Array.isArray(args)) refuse('a tensor that is made in another way', where);
  if (!ownClasses.some((own) => own === type)) refuse('a tensor of another class', where);
  return withAttributes(maker.call(args, where), state, where);
});
allow('collections.OrderedDict', ([pairs], where) => dictOf(pairs ?? [], where));
allow('torch.Size', ([sizes], where) => (Array.isArray(sizes) ? sizes : refuse('torch.Size of something else', where)));
allow('torch.device', ([type, index = 0, ...more], where) => {
  const isDevice = typeof type === 'string' && typeof index === 'number' && more.length === 0;
  return isDevice ? type : refuse('torch.device of something else', where);
});
for (const name of ['builtins.set', '__builtin__.set', 'builtins.frozenset', '__builtin__.frozenset']) {
  allow(name, ([items], where) => (Array.isArray(items ?? []) ? new Set(items as PickleValue[]) : refuse(name, where)));
}
// Protocol 2 writes bytes as text and an encoding.
allow('_codecs.encode', ([text, encoding], where) =>
  typeof text === 'string' && encoding === 'latin1' ? Buffer.from(text, 'latin1') : refuse('_codecs.encode', where),
);

/** Plain data beside the weights: keeps only its name, not its arguments or state. */
class Inert extends PickleGlobal {
  override build(): void {}
}

// Plain data of training scripts: counters, options, paths, dates, random states, NumPy's arrays and numbers, configurations,
// by module; and subclasses of dict, read as dicts.
for (const [module, names] of Object.entries(plain.inert)) {
  for (const name of names.split(' ').map((one) => `${module}.${one}`)) {
    if (!globals.has(name)) allow(name, () => new Inert(name, (_args, where) => refuse(name, where)));
  }
}
for (const name of plain.dicts) allow(name, () => new Map());
allow('collections.deque', () => []);

/** The stand-in for a Python global that torch.save writes, or undefined for anything else. */
export function findTorchGlobal(qualifiedName: string, where: string): PickleGlobal | undefined {
  const refusal = refusals.find(([pattern]) => pattern.test(qualifiedName));
  if (refusal !== undefined) {
    const [, what, remedy] = refusal;
    throw new InputError(
      `${where}: refused: holds ${what} (${qualifiedName.slice(0, 100)}); valid: dense real tensors: ${remedy}`,
    );
  }
  return globals.get(qualifiedName);
}

/** Globals of anything but dense real tensors: a pattern, what it builds, what to save instead. */
const refusals: readonly (readonly [RegExp, string, string])[] = [
  [/^torch\._utils\._rebuild_sparse/, 'a sparse tensor', 'save tensor.to_dense()'],
  [/^torch\._utils\._rebuild_nested/, 'a nested tensor', 'save tensor.to_padded_tensor(0)'],
  [/^torch\._utils\._rebuild_meta/, 'a tensor without values', 'save the model from the device that holds its weights'],
  [
    /^torch\.(?:_utils\._rebuild_qtensor$|(?:storage\.)?Q\w+Storage$|q(?:u?int\d+))/,
    'a quantised tensor',
    'save the model before it is quantised, or tensor.dequantize()',
  ],
  [
    /^torch\.(?:storage\.)?(?:Complex\w+Storage|complex\d+|c(?:float|double|half))$/,
    'complex numbers',
    'save tensor.real',
  ],
  [/^torch\.(?:storage\.)?[Ff]loat[84]_\w+$/, 'floats of 8 bits or fewer', 'save tensor.float()'],
  [/^torch\.(?:jit|fx|export)\b/, 'a compiled program', 'save its model.state_dict()'],
  [
    /^(?:__main__|torch\.nn\.modules|torchvision\.models|timm\.models|transformers\.models)\.[\w.]+$/,
    'an object of a custom class, such as a whole model',
    'save model.state_dict()',
  ],
  [/^torch\.distributed\./, 'a part of a distributed tensor', 'save a full state dict (FSDP: FULL_STATE_DICT)'],
];

/**
 * Storage of a persistent id: ('storage', type, key, device, number of elements[, view]); a view (legacy format only) is (key,
 * first element, number of elements).
 *
 * @throws InputError on any other id
 */
export function storageOf(id: PickleValue, where: string): StorageRef {
  const [kind, type, key, , count, view] = Array.isArray(id) ? id : [];
  if (
    kind !== 'storage' ||
    !(type instanceof DtypeRef) ||
    !(typeof key === 'string' || typeof key === 'number') ||
    !isSize(count)
  ) {
    throw new InputError(`${where}: a persistent id that is not a storage; valid: a file written by torch.save`);
  }
  if (!Array.isArray(view)) return new StorageRef(String(key), type.dtype, count);
  const [, offset, length] = view;
  if (!isSize(offset) || !isSize(length)) throw new InputError(`${where}: malformed view of storage ${key}`);
  return new StorageRef(String(key), type.dtype, length, offset);
}

/** Builds a tensor. @throws InputError on arguments that it does not understand */
function tensorOf(
  [storage, offset, shape, stride]: readonly (PickleValue | undefined)[],
  dtype: Dtype | undefined,
  [grad, hooks, metadata, ...more]: readonly (PickleValue | undefined)[],
  where: string,
): TensorRef {
  assertNoHooks(grad, hooks, where);
  if (more.length > 0) refuse('a tensor with arguments that PyTorch does not write', where);
  if (
    !(storage instanceof StorageRef) ||
    !isSize(offset) ||
    !isSizes(shape) ||
    !isSizes(stride) ||
    shape.length !== stride.length
  ) {
    throw new InputError(`${where}: malformed tensor; valid: storage, offset, shape and stride`);
  }
  return new TensorRef(storage, dtype ?? storage.dtype, offset, shape, stride, isNegated(metadata, where));
}

/** Hooks are functions that PyTorch would call in training. */
function assertNoHooks(grad: PickleValue | undefined, hooks: PickleValue | undefined, where: string): void {
  if (grad !== undefined && typeof grad !== 'boolean') refuse('a tensor whose requires_grad is no boolean', where);
  if (hooks == null || (hooks instanceof Map && hooks.size === 0)) return;
  refuse('a tensor with backward hooks', where);
}

/** Whether the metadata negate the storage's values (`neg`). */
function isNegated(metadata: PickleValue | undefined, where: string): boolean {
  if (metadata == null) return false;
  if (!(metadata instanceof Map)) refuse('a tensor whose metadata is no dict', where);
  for (const [name, value] of metadata) {
    const shown = typeof name === 'string' ? JSON.stringify(name) : 'of another kind';
    // PyTorch writes only true, and reads false as true.
    if (value !== true) refuse(`a tensor with metadata ${shown}`, where);
    if (name !== 'neg') refuse(`a tensor with the ${shown} bit`, where);
  }
  return metadata.size > 0;
}

/** Attributes that replace a tensor's values. */
const replacing = ['data', 'real', 'imag', '__class__'];

/** A tensor whose state is a dict, or a dict and one of slots; refuses attributes that replace its values. */
function withAttributes(
  tensor: PickleValue | undefined,
  [state, ...more]: readonly (PickleValue | undefined)[],
  where: string,
): TensorRef {
  if (!(tensor instanceof TensorRef)) refuse('a parameter without a tensor', where);
  if (more.length > 0) refuse('a tensor with arguments that PyTorch does not write', where);
  for (const attributes of Array.isArray(state) ? state : [state]) {
    if (attributes == null) continue;
    if (!(attributes instanceof Map)) refuse('a tensor whose attributes are no dict', where);
    const replaced = replacing.find((name) => attributes.has(name));
    if (replaced !== undefined) refuse(`a tensor with an attribute ${replaced}`, where);
  }
  return tensor;
}

function dictOf(pairs: PickleValue, where: string): PickleValue {
  const dict = new Map<PickleValue, PickleValue>();
  if (!Array.isArray(pairs)) refuse('an OrderedDict of something else', where);
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) refuse('an OrderedDict of something else', where);
    dict.set(pair[0]!, pair[1]!);
  }
  return dict;
}

function refuse(what: string, where: string): never {
  throw new InputError(`${where}: refused: holds ${what}; valid: tensors and plain data`);
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isSize);
}
