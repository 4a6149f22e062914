import { expect } from 'chai';
import { parseSafetensors } from '../../src/checkpoints/load.js';
import { zipOf } from '../fuzz/zip.js';
import { readTorch, refusal } from './helpers.js';
import { int, legacyFile, storage, tensor, text } from './pickles.js';

const LIMIT =
  /^file: (?:\S+: )?takes more than \d+ (?:bytes of memory|steps) to read, the limit for \d+ bytes; valid: weights alone/;

describe('PyTorch files that ask for more than they hold', () => {
  const encode = 'c_codecs\nencode\n(h\x00h\x01tR0';
  const cases: [string, string, RegExp][] = [
    [
      'a text encoded again and again',
      `${text('x'.repeat(10_000))}q\x00${text('latin1')}q\x01${encode.repeat(70_000)}N.`,
      LIMIT,
    ],
    [
      'sets of one list',
      `](${'N'.repeat(10_000)}eq\x00cbuiltins\nset\nq\x01${'0h\x01h\x00\x85R'.repeat(200_000)}.`,
      LIMIT,
    ],
    [
      'dicts of one list of pairs',
      `](${'NN\x86'.repeat(10_000)}eq\x00ccollections\nOrderedDict\nq\x01${'0h\x01h\x00\x85R'.repeat(20_000)}.`,
      LIMIT,
    ],
    [
      'a device of devices, each twice as long',
      `${text('x')}${'q\x00ctorch\ndevice\nh\x00h\x00\x86R'.repeat(40)}.`,
      /torch\.device/,
    ],
    [
      'stand-ins of one list',
      `](${'N'.repeat(10_000)}eq\x00cargparse\nNamespace\nq\x01${'0h\x01h\x00\x85R'.repeat(200_000)}.`,
      LIMIT,
    ],
    ['a stand-in in four bytes', `cargparse\nNamespace\nq\x00${'0h\x00)\x81'.repeat(700_000)}.`, LIMIT],
    ['a dict a byte', `(${'}'.repeat(2_000_000)}l.`, LIMIT],
    ['a set a byte', `(${'\x8f'.repeat(2_000_000)}l.`, LIMIT],
  ];
  for (const [what, pickle, message] of cases) {
    it(`${what}: refused by the limit that is met`, () =>
      refusal(() => readTorch(legacyFile(pickle), 'file'), message));
  }

  /** Tensors with names of their own in one dict. */
  const named = (count: number, one: string): string =>
    `}${Array.from({ length: count }, (_, i) => `${text(`w${i}`)}${one}s`).join('')}.`;

  it('tensors that are views of one storage are counted each', async () => {
    const zip = zipOf([
      { name: 'x/data.pkl', data: Buffer.from(named(5000, tensor(storage(100_000), int(100_000), 'K\x01')), 'latin1') },
      { name: 'x/data/0', data: new Uint8Array(400_000) },
    ]);
    await refusal(() => readTorch(zip, 'file'), /^file: w\d+: takes more than \d+ bytes of memory/);
  });

  it('so are entries of an archive that are the same bytes', async () => {
    const keys = Array.from({ length: 200 }, (_, i) => String(i));
    const pickle = `}${keys.map((key) => `${text(`w${key}`)}${tensor(storage(250_000, key), 'K\x01', 'K\x01')}s`).join('')}.`;
    const data = new Uint8Array(1_000_000);
    const whole = zipOf([
      { name: 'x/data.pkl', data: Buffer.from(pickle, 'latin1') },
      ...keys.map((key) => ({ name: `x/data/${key}`, data })),
    ]);
    const honest = await readTorch(whole, 'file');
    expect(honest.tensors.size).to.equal(200);
    // Each record of the directory names the first of them.
    const shared = sharedEntries(pickle, keys, data);
    expect(shared.length).to.be.below(1_100_000);
    await refusal(() => readTorch(shared, 'file'), /^file: x\/data\/\d+: takes more than \d+ bytes of memory/);
  });

  it('a long key that leads to every dict is not copied for each', async () => {
    const key = text('k'.repeat(100_000));
    const one = tensor(storage(1), 'K\x01', 'K\x01');
    const pickle = `(${key}q\x00${one}q\x01l}q\x02(${Array.from({ length: 20_000 }, (_, i) => `${int(i)}}h\x00}h\x00h\x01sss`).join('')}0.`;
    await refusal(() => readTorch(legacyFile(pickle), 'file'), /^file: /);
  });

  it('a name of thousands of wrappers is read', async () => {
    const zip = zipOf([
      {
        name: 'x/data.pkl',
        data: Buffer.from(`}${text(`${'net.'.repeat(50_000)}w`)}${tensor(storage(1), 'K\x01', 'K\x01')}s.`, 'latin1'),
      },
      { name: 'x/data/0', data: new Uint8Array(4) },
    ]);
    expect((await readTorch(zip, 'file')).tensors.size).to.equal(1);
  });
});

/** An archive in which all storages lie at one place. */
function sharedEntries(pickle: string, keys: readonly string[], data: Uint8Array): Buffer {
  const parts = [
    { name: 'x/data.pkl', data: Buffer.from(pickle, 'latin1') },
    { name: 'x/data/0', data },
  ];
  const whole = zipOf(parts);
  const directory = whole.readUInt32LE(whole.length - 6);
  const first = 46 + 'x/data.pkl'.length;
  const record = whole.subarray(directory + first, whole.length - 22);
  const records = keys.map((key) => {
    const own = Buffer.concat([record.subarray(0, 46), Buffer.from(`x/data/${key}`)]);
    own.writeUInt16LE(`x/data/${key}`.length, 28);
    return own;
  });
  const list = Buffer.concat([whole.subarray(directory, directory + first), ...records]);
  const end = Buffer.from(whole.subarray(whole.length - 22));
  end.writeUInt16LE(keys.length + 1, 8);
  end.writeUInt16LE(keys.length + 1, 10);
  end.writeUInt32LE(list.length, 12);
  return Buffer.concat([whole.subarray(0, directory), list, end]);
}

describe('safetensors headers that are long', () => {
  const file = (header: string): Buffer => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, Buffer.from(header)]);
  };

  it('a text or a number of twenty million characters is read', async () => {
    const long = 'x'.repeat(20_000_000);
    expect(parseSafetensors(file(`{"__metadata__":{"a":"${long}"}}`), 'file').metadata['a']).to.have.length(20_000_000);
    expect(parseSafetensors(file(`{"__metadata__":{"${long}":"a"}}`), 'file').metadata[long]).to.equal('a');
    await refusal(() => parseSafetensors(file(`{"a":${'1'.repeat(20_000_000)}}`), 'file'), /^file: a: not an object/);
  });

  it('lists in lists where a type or a shape should be are one line', async () => {
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    for (const part of [
      `"dtype":${deep}`,
      `"dtype":"F32","shape":${deep}`,
      `"dtype":"F32","shape":[0],"data_offsets":${deep}`,
    ]) {
      await refusal(
        () => parseSafetensors(file(`{"a":{${part}}}`), 'file'),
        /header: nested more than 100 levels deep/,
      );
    }
  });

  it('more values than any network has are refused before they are made', async () => {
    const many = `{"a":[${'[],'.repeat(7_000_000)}[]]}`;
    await refusal(() => parseSafetensors(file(many), 'file'), /^file: header: takes more than 10000000 steps to read/);
  });
});
