import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { fixture, readTorch, refusal, shared } from './helpers.js';

/** What `checkpoint` in fixtures/checkpoints/generate.py holds. */
const expected: Record<string, [shape: number[], values: number[]]> = {
  weight: [[2, 3, 4], Array.from({ length: 24 }, (_, i) => i / 8)],
  transposed: [[6, 4], Array.from({ length: 24 }, (_, i) => (Math.floor(i / 4) + 6 * (i % 4)) / 8)],
  tail: [[4], [20 / 8, 21 / 8, 22 / 8, 23 / 8]],
  every_other: [[12], Array.from({ length: 12 }, (_, i) => i / 4)],
  expanded: [
    [2, 3],
    [7, 7, 7, 7, 7, 7],
  ],
  half: [[4], [0.5, -2, 65504, 2 ** -24]],
  bfloat: [[2], [1.5, -3]],
  double: [[2], [Math.fround(0.1), Math.fround(1e-3)]],
  'bn.num_batches_tracked': [[], [12345]],
  int32: [[2], [-1, 2]],
  bool: [[2], [1, 0]],
  parameter: [[1], [3.25]],
  empty: [[0, 3], []],
};

describe('torch.save files', () => {
  const formats = [
    ['legacy.pth', 'pytorch-legacy'],
    ['zip-1.13.pth', 'pytorch-zip'],
    ['zip.pth', 'pytorch-zip'],
    ['zip-deflated.pth', 'pytorch-zip'],
  ] as const;
  for (const [name, format] of formats) {
    it(`${name}: every type, views of shared storages, names without module.`, async () => {
      const read = await readTorch(await fixture(name), name);
      expect(read.format).to.equal(format);
      expect(read.path).to.equal('state_dict');
      const found = Object.fromEntries([...read.tensors].map(([key, t]) => [key, [[...t.shape], [...t.data]]]));
      expect(found).to.deep.equal(expected);
    });
  }

  it('turns the sign of a view whose neg bit is set, as PyTorch does when it reads it', async () => {
    // torch 2.15: torch.load('negated.pth')['weight'] is [[-2, -4], [6, -8]].
    const { tensors } = await readTorch(await fixture('negated.pth'), 'negated.pth');
    expect([...tensors.get('weight')!.data]).to.deep.equal([-2, -4, 6, -8]);
    expect([...tensors.get('plain')!.data]).to.deep.equal([0, 1, 2]);
  });

  it('agrees on a module saved in both formats, at the top, under a key, and big-endian', async () => {
    const files = ['legacy-module.pth', 'legacy-numpy.pth', 'zip-module.pth', 'zip-big-endian.pth'];
    const read = await Promise.all(files.map(async (name) => readTorch(await fixture(name), name)));
    expect(read.map(({ path }) => path)).to.deep.equal(['', 'model', 'model', 'model']);
    const names = ['0.weight', '1.weight', '1.bias', '1.running_mean', '1.running_var', '1.num_batches_tracked'];
    for (const { tensors } of read) {
      expect([...tensors.keys()]).to.deep.equal(names);
      expect(tensors.get('0.weight')).to.deep.equal(read[0]!.tensors.get('0.weight'));
      expect([...tensors.get('1.running_var')!.data]).to.deep.equal([1, 1, 1, 1]);
    }
    // torch.manual_seed(0): the first weight of Conv2d(3, 4, 3)
    expect(read[0]!.tensors.get('0.weight')!.data[0]).to.be.closeTo(-0.00144, 1e-4);
  });

  it('shares the memory of contiguous float32 tensors in a zip archive', async () => {
    const bytes = await fixture('zip.pth');
    const { tensors } = await readTorch(bytes, 'x');
    expect(tensors.get('weight')!.data.buffer).to.equal(bytes.buffer);
  });
});

describe('torch.save files: hostile or damaged', () => {
  const refused: [string, RegExp][] = [
    ['hostile-legacy.pth', /refused: asks for Python's "posix\.system"/],
    ['hostile-zip.pth', /refused: asks for Python's "posix\.system"/],
    ['hostile-zip-4.pth', /refused: asks for Python's "posix\.system"/],
    ['hostile-zip-0.pth', /refused: asks for Python's "posix\.system"/],
    ['hostile-bare.pkl', /refused: asks for Python's "posix\.system"/],
    ['pickled-text.pkl', /a pickle, but not torch\.save's: magic number is wrong/],
    ['generate.py', /not a torch\.save file/],
  ];
  for (const [name, message] of refused) {
    it(`refuses ${name}, in one line, without running anything`, async () => {
      const bytes = await fixture(name);
      const error = await refusal(() => readTorch(bytes, name), message);
      expect(error.problems).to.have.length(1);
      expect(error.message).to.match(new RegExp(`^${name}: [^\n]+$`));
      expect(existsSync('/tmp/dgate-was-here'), 'the pickle was executed').to.equal(false);
    });
  }

  for (const name of ['legacy.pth', 'zip.pth', 'zip-deflated.pth']) {
    it(`refuses ${name} cut off anywhere`, async () => {
      const whole = await fixture(name);
      for (let length = 2; length < whole.length - 22; length += 37) {
        const error = await refusal(() => readTorch(whole.subarray(0, length), 'cut'), /^cut: /);
        expect(error.problems).to.have.length(1);
      }
    });
  }

  it('a flipped byte in a stored tensor is found by its checksum', async () => {
    const bytes = Buffer.from(await fixture('zip.pth'));
    bytes[bytes.indexOf(Buffer.from(Float32Array.of(0.125, 0.25, 0.375).buffer))]! ^= 1;
    await refusal(() => readTorch(bytes, 'x'), /data\/\d+: content does not match its checksum/);
  });

  it('random damage never gets further than a refusal or weights', async () => {
    let state = 12345;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return state % below;
    };
    for (const name of ['legacy.pth', 'zip-deflated.pth', 'legacy-numpy.pth']) {
      const whole = await fixture(name);
      for (let trial = 0; trial < 400; trial++) {
        const bytes = Buffer.from(whole);
        for (let i = 0; i <= trial % 4; i++) bytes[random(bytes.length)] = random(256);
        await readTorch(bytes, 'x').catch((error: unknown) => expect(error).to.have.property('name', 'InputError'));
      }
    }
  });

  /** A legacy file of one tensor with this storage, offset, shape and stride, and four float32 elements. */
  function legacyTensor(key: string, offset: number, shape: number[], stride: number[], stored = 4): Buffer {
    const int = (n: number) => `J${Buffer.from(Int32Array.of(n).buffer).toString('latin1')}`;
    const text = (t: string) => `X${Buffer.from(Int32Array.of(t.length).buffer).toString('latin1')}${t}`;
    const storage = `(${text('storage')}ctorch\nFloatStorage\n${text(key)}${text('cpu')}${int(4)}NtQ`;
    const tensor = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${int(offset)}(${shape.map(int).join('')}t(${stride.map(int).join('')}t\x89}tR`;
    const head = `\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.`;
    const pickles = `${head}\x80\x02}${text('w')}${tensor}s.\x80\x02]${text('0')}a.`;
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(stored));
    return Buffer.concat([Buffer.from(pickles, 'latin1'), count, Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)]);
  }

  it('checks every view against its storage', async () => {
    const { tensors } = await readTorch(legacyTensor('0', 1, [2], [2]), 'x');
    expect([...tensors.get('w')!.data]).to.deep.equal([2, 4]);
    await refusal(() => readTorch(legacyTensor('0', 1, [2, 2], [2, 1]), 'x'), /w: reaches element 5 of a storage of 4/);
    await refusal(() => readTorch(legacyTensor('0', -1, [2], [1]), 'x'), /malformed tensor/);
    await refusal(() => readTorch(legacyTensor('0', 0, [2], [-1]), 'x'), /malformed tensor/);
    await refusal(() => readTorch(legacyTensor('0', 0, [2], [1, 1]), 'x'), /malformed tensor/);
    await refusal(() => readTorch(legacyTensor('9', 0, [2], [1]), 'x'), /a storage that no tensor uses/);
    await refusal(() => readTorch(legacyTensor('0', 0, [4], [1], 5), 'x'), /truncated: needs 20 more bytes, has 16/);
    await refusal(
      () => readTorch(legacyTensor('0', 0, [4], [1], -1), 'x'),
      /truncated: storage 0 of 18446744073709551615/,
    );
  });

  it('does not let a few bytes become gigabytes', async () => {
    const vast = legacyTensor('0', 0, [100_000, 100_000], [0, 0]);
    await refusal(() => readTorch(vast, 'x'), /w: takes more than \d+ bytes of memory to read/);
  });

  it('says where there are no weights', async () => {
    const empty = Buffer.concat([legacyTensor('0', 0, [1], [1]).subarray(0, 23), Buffer.from('N.N.].', 'latin1')]);
    await refusal(() => readTorch(empty, 'x'), /x: holds no named tensors; valid: a state dict/);
  });
});

const real = [
  ['resnet20-12fca82f.th', 0.27e6],
  ['resnet56-4bfd9763.th', 0.85e6],
] as const;

describe('real checkpoints', () => {
  for (const [name, parameters] of real) {
    const path = join(shared, name);
    it(existsSync(path) ? name : `${name} (skipped: ../shared/checkpoints is not here)`, async function () {
      if (!existsSync(path)) return this.skip();
      const { tensors, format } = await readTorch(await readFile(path), name);
      expect(format).to.equal('pytorch-legacy');
      expect(tensors.get('conv1.weight')?.shape).to.deep.equal([16, 3, 3, 3]);
      expect(tensors.get('linear.weight')?.shape).to.deep.equal([10, 64]);
      expect([...tensors.keys()].some((key) => key.startsWith('module.'))).to.equal(false);
      const learned = [...tensors].filter(([key]) => /(weight|bias)$/.test(key));
      const count = learned.reduce((sum, [, { data }]) => sum + data.length, 0);
      expect(count).to.be.within(parameters * 0.98, parameters * 1.02);
    });
  }
});
