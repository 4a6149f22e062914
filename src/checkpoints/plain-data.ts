import { PickleGlobal, type PickleValue, Rebuilt } from '../pickle/reader.js';

/** A value that a program saved beside its weights: only its name is kept, not its arguments or state. */
class Inert extends Rebuilt {
  constructor(private readonly name: string) {
    super();
  }
  override build(): void {}
  override describe(): string {
    return this.name;
  }
}

/** Names by module. What is made of them is an {@link Inert}. */
const inert: Readonly<Record<string, string>> = {
  argparse: 'Namespace',
  types: 'SimpleNamespace',
  typing: 'Any Dict List Optional Tuple Union',
  datetime: 'date datetime time timedelta timezone',
  decimal: 'Decimal',
  fractions: 'Fraction',
  uuid: 'UUID SafeUUID',
  functools: 'partial',
  pathlib: 'Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath',
  'pathlib._local': 'Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath',
  builtins: 'bool bytearray bytes complex dict float int list object range slice str tuple type NoneType',
  __builtin__: 'bool bytearray bytes complex dict float int list long object slice str tuple unicode xrange',
  numpy:
    'bool bool_ complex128 complex64 datetime64 dtype float16 float32 float64 int16 int32 int64 int8 intc longlong ' +
    'ndarray str_ timedelta64 uint16 uint32 uint64 uint8',
  'numpy.core.multiarray': '_reconstruct scalar',
  'numpy._core.multiarray': '_reconstruct scalar',
  'numpy.core.numeric': '_frombuffer',
  'numpy._core.numeric': '_frombuffer',
  'numpy.dtypes': [8, 16, 32, 64].flatMap((bits) => [`Int${bits}DType UInt${bits}DType Float${bits}DType`]).join(' '),
  'numpy.ma.core': 'MaskedArray _mareconstruct',
  'numpy.random._pickle': '__bit_generator_ctor __generator_ctor __randomstate_ctor',
  'numpy.random._mt19937': 'MT19937',
  'numpy.random._pcg64': 'PCG64 PCG64DXSM',
  'numpy.random._philox': 'Philox',
  'numpy.random._sfc64': 'SFC64',
  'numpy.random.bit_generator': 'SeedSequence SeedlessSeedSequence __pyx_unpickle_SeedSequence',
  random: 'Random',
  re: '_compile RegexFlag',

  torch: 'channels_last contiguous_format finfo Generator iinfo preserve_format sparse_coo strided',
  'torch.serialization': '_get_layout',
  'torch.torch_version': 'TorchVersion',
  'packaging.version': 'Version _Version',
  'packaging._structures': 'InfinityType NegativeInfinityType',
  'pytorch_lightning.callbacks.early_stopping': 'EarlyStopping',
  'pytorch_lightning.callbacks.model_checkpoint': 'ModelCheckpoint',
  'omegaconf.base': 'ContainerMetadata Metadata',
  'omegaconf.dictconfig': 'DictConfig',
  'omegaconf.listconfig': 'ListConfig',
  'omegaconf.nodes': 'AnyNode BooleanNode BytesNode EnumNode FloatNode IntegerNode PathNode StringNode',
  'mmengine.config.config': 'Config',
  'mmengine.logging.history_buffer': 'HistoryBuffer',
};

/** Subclasses of dict; read as dicts. */
const dicts = [
  'addict.addict.Dict',
  'collections.Counter',
  'collections.defaultdict',
  'easydict.EasyDict',
  'lightning.fabric.utilities.data.AttributeDict',
  'lightning.pytorch.utilities.parsing.AttributeDict',
  'lightning_fabric.utilities.data.AttributeDict',
  'mmengine.config.config.ConfigDict',
  'ml_collections.config_dict.config_dict.ConfigDict',
  'munch.Munch',
  'pytorch_lightning.utilities.parsing.AttributeDict',
  'yacs.config.CfgNode',
];

/**
 * The names of plain data that training scripts save beside the weights: counters, options, paths, dates, random states, NumPy's
 * arrays and numbers, configurations. A call costs as much as its arguments (see `readPickle`), and nothing is kept of them.
 */
export const plainData: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ...Object.entries(inert).flatMap(([module, names]) =>
    names.split(' ').map((name) => standIn(`${module}.${name}`, () => new Inert(`${module}.${name}`))),
  ),
  ...dicts.map((name) => standIn(name, () => new Map())),
  standIn('collections.deque', () => []),
]);

function standIn(name: string, make: () => PickleValue): [string, PickleGlobal] {
  return [name, new PickleGlobal(name, make)];
}
