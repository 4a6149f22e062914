import { readdir, readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { encodeSafetensors, matchTensors, readSafetensors } from '../../../src/checkpoints/load.js';
import type { Dictionary } from '../../../src/checkpoints/names.js';
import { readTorch } from '../../../src/checkpoints/pytorch.js';
import { findTorchGlobal, storageOf } from '../../../src/checkpoints/pytorch-globals.js';

import { InputError } from '../../../src/errors.js';
import { Budget } from '../../../src/json.js';
import { readPickle } from '../../../src/pickle/reader.js';
import { parseHeldOut, parsePreprocessing } from '../../../src/run/source.js';
import { elementCount, type TensorMap } from '../../../src/tensor.js';
import { fixture, fixtures } from '../../checkpoints/helpers.js';
import type { Reader } from '../fuzz.js';
import { mutated } from '../mutation.js';
import { zipOf } from '../zip.js';

const need = [
  { name: 'weight', shape: [2, 3, 4] },
  { name: 'bn.num_batches_tracked', shape: [] },
];

/** What was read must be what it says of itself; then it is held against a network's needs, as every checkpoint is. */
function used(tensors: TensorMap): void {
  for (const [name, { shape, data }] of tensors) {
    if (elementCount(shape) !== data.length) throw new Error(`${name}: ${data.length} values for [${shape.join()}]`);
  }
  try {
    matchTensors(need, tensors, 'file for network');
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
  }
}

function usedAll(dictionaries: readonly Dictionary[]): void {
  for (const { shapes, read } of dictionaries) used(read(shapes.keys()));
}

/** Words of safetensors headers. */
const headerWords = [
  ...[
    '"dtype":"F32"',
    '"F16"',
    '"BOOL"',
    '"F8_E4M3"',
    '"shape":[',
    '"data_offsets":[0,0]',
    '"__metadata__":{',
    '"__proto__"',
  ],
  ...[
    '"toString"',
    '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}',
    '\\u0061',
    '\\ud800',
    '\x1b[2J',
    '\n',
    '[',
    '{',
    '}',
  ],
];

/** Opcodes and globals of pickles: what is allowed, what is not, and what makes trouble. */
const pickleWords = [
  ...[
    'cos\nsystem\n',
    'cbuiltins\neval\n',
    '\x8c\x05posix\x8c\x06system\x93',
    'cbuiltins\ngetattr\n',
    'ccopyreg\n_reconstructor\n',
  ],
  ...[
    'ctorch._utils\n_rebuild_tensor_v2\n',
    'ctorch\nFloatStorage\n',
    'ccollections\nOrderedDict\n',
    'c_codecs\nencode\n',
  ],
  ...['cnumpy\ndtype\n', 'cnumpy.core.multiarray\nscalar\n', 'ctorch\nSize\n', 'cbuiltins\nset\n', 'ctorch\ndevice\n'],
  ...[
    '(',
    ')',
    't',
    'R',
    '\x81',
    'o',
    'b',
    'Q',
    'P0\n',
    '}',
    ']',
    's',
    'u',
    'a',
    'e',
    'd',
    'l',
    '\x8f',
    '\x90',
    '\x91',
    '0',
    '1',
    '2',
  ],
  ...[
    'q\x00',
    'h\x00',
    'p0\n',
    'g0\n',
    '\x94',
    'r\xff\xff\xff\xff',
    'j\x00\x00\x00\x00',
    'N',
    '\x88',
    'K\x01',
    'J\xff\xff\xff\xff',
  ],
  ...[
    'X\x01\x00\x00\x00a',
    '\x8e\xff\xff\xff\xff\xff\xff\xff\x7f',
    '\x8a\xff',
    '\x8b\xff\xff\xff\x7f',
    'I01\n',
    'L9L\n',
    'F1e999\n',
  ],
  ...[
    'V\\U0010ffff\n',
    "S'a'\n",
    '\x80\x05',
    '\x95\x00\x00\x00\x00\x00\x00\x00\x00',
    '.',
    '\x85',
    '\x86',
    '\x87',
    '22222222',
    '((((((((',
  ],
];

async function torchFiles(format: 'legacy' | 'zip'): Promise<Buffer[]> {
  const names = (await readdir(fixtures)).filter((name) => name.includes(format) && name.endsWith('.pth'));
  return Promise.all(names.map(async (name) => Buffer.from(await fixture(name))));
}

/** The pickles of the zip files, and the storages that they name, to be packed again around changed pickles. */
const pickled = Buffer.from('\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n', 'latin1');
function tensorPickle(): Buffer {
  const text = (t: string) => `X${String.fromCharCode(t.length)}\x00\x00\x00${t}`;
  const storage = `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}K\x04tQ`;
  return Buffer.concat([pickled, Buffer.from(`(${storage}K\x00(K\x02K\x02t(K\x02K\x01t\x89}tRs.`, 'latin1')]);
}

export const checkpointReaders: readonly Reader[] = [
  {
    name: 'safetensors',
    inputs: 30_000,
    input: async () => {
      const own = encodeSafetensors(new Map([['weight', { shape: [2, 3, 4], data: new Float32Array(24) }]]), {
        preprocessing: '{"mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}',
        held_out: '[1,2,5]',
      });
      return mutated([await fixture('python.safetensors'), Buffer.concat([...own])], headerWords);
    },
    async read(bytes: Uint8Array) {
      const { tensors, metadata } = await readSafetensors(bytes, 'file');
      if (metadata['preprocessing'] !== undefined) parsePreprocessing(metadata['preprocessing'], 'file');
      if (metadata['held_out'] !== undefined) parseHeldOut(metadata['held_out'], 'file');
      used(tensors);
    },
  },
  {
    name: 'safetensors header',
    inputs: 30_000,
    input: async () => {
      const whole = Buffer.from(await fixture('python.safetensors'));
      const end = 8 + Number(whole.readBigUInt64LE(0));
      const data = whole.subarray(end);
      return mutated([whole.subarray(8, end)], headerWords).map((header) => {
        const length = Buffer.alloc(8);
        length.writeBigUInt64LE(BigInt(header.length));
        return Buffer.concat([length, header, data]);
      });
    },
    read: async (bytes: Uint8Array) => used((await readSafetensors(bytes, 'file')).tensors),
  },
  {
    name: 'checkpoint metadata',
    inputs: 10_000,
    input: () =>
      fc.oneof(
        fc.json(),
        mutated([Buffer.from('{"mean":[0.5,0.5,0.5],"std":[1,1,1],"resize":256}'), Buffer.from('[0,1,5]')]).map(String),
      ),
    read(text: string) {
      const attempts = [() => parsePreprocessing(text, 'file'), () => parseHeldOut(text, 'file')];
      const errors = attempts.flatMap((attempt) => {
        try {
          attempt();
          return [];
        } catch (error) {
          return [error];
        }
      });
      const odd = errors.find((error) => !(error instanceof Error) || error.name !== 'InputError');
      if (odd !== undefined) throw odd;
      if (errors.length === attempts.length) throw errors[0];
    },
  },
  {
    name: 'PyTorch, legacy',
    inputs: 30_000,
    input: async () => mutated(await torchFiles('legacy'), pickleWords),
    read: async (bytes: Uint8Array) => usedAll((await readTorch(bytes, 'file')).dictionaries),
  },
  {
    name: 'PyTorch, zip',
    inputs: 20_000,
    input: async () => mutated(await torchFiles('zip'), ['PK\x01\x02', 'PK\x03\x04', 'PK\x05\x06', '../', '/data.pkl']),
    read: async (bytes: Uint8Array) => usedAll((await readTorch(bytes, 'file')).dictionaries),
  },
  {
    name: 'PyTorch, pickle in a zip',
    inputs: 20_000,
    input: () => {
      const storages = ['0', '1'].map((key) => ({ name: `x/data/${key}`, data: new Uint8Array(16) }));
      return mutated([tensorPickle()], pickleWords).map((data) => zipOf([{ name: 'x/data.pkl', data }, ...storages]));
    },
    read: async (bytes: Uint8Array) => usedAll((await readTorch(bytes, 'file')).dictionaries),
  },
  {
    name: 'pickle opcodes',
    inputs: 40_000,
    // Any row of opcodes: most are malformed, some build odd things out of allowed parts.
    input: () =>
      fc
        .array(fc.constantFrom(...pickleWords), { minLength: 1, maxLength: 40 })
        .map((words) => Buffer.from(`${words.join('')}.`, 'latin1')),
    read: (bytes: Uint8Array) =>
      readPickle(bytes, 0, {
        budget: new Budget('file', bytes.length, 'a pickle'),
        findGlobal: findTorchGlobal,
        loadPersistent: (id) => storageOf(id, 'file'),
      }),
  },
  {
    name: 'PyTorch, real',
    inputs: 2000,
    input: async () => {
      const shared = new URL('../../../../shared/checkpoints/resnet20-12fca82f.th', import.meta.url);
      const real = await readFile(shared).catch(() => undefined);
      return mutated(real === undefined ? await torchFiles('legacy') : [real], pickleWords);
    },
    read: async (bytes: Uint8Array) => usedAll((await readTorch(bytes, 'file')).dictionaries),
  },
];
