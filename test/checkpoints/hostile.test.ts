import { existsSync } from 'node:fs';
import { expect } from 'chai';
import { parseSafetensors } from '../../src/checkpoints/load.js';
import { type ZipPart, zipOf } from '../fuzz/zip.js';
import { processorMs } from '../processorTime.js';
import { readTorch, refusal } from './helpers.js';

const text = (value: string): string => `X${String.fromCharCode(value.length)}\x00\x00\x00${value}`;
/** The same of any length. */
const long = (value: string): string =>
  `X${Buffer.from(Int32Array.of(value.length).buffer).toString('latin1')}${value}`;
const binary = (value: string): Buffer => Buffer.from(value, 'latin1');

/** Pickled: a float tensor of shape [2, 2] in the storage "0" of the file. */
const storage = `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}K\x04tQ`;
const tensor = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}K\x00(K\x02K\x02t(K\x02K\x01t\x89}tR`;
const weights = (more = ''): string => `\x80\x02}${text('w')}${tensor}s${more}.`;

const torchZip = (pickle: string, ...more: ZipPart[]): Buffer => {
  return zipOf([{ name: 'x/data.pkl', data: binary(pickle) }, { name: 'x/data/0', data: new Uint8Array(16) }, ...more]);
};
const read = (pickle: string, ...more: ZipPart[]) => readTorch(torchZip(pickle, ...more), 'file');

/** Before the pickle of the object, in the legacy format: magic number, version, facts about the machine. */
const legacyHead = '\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.';
const readLegacy = (pickle: string) => readTorch(binary(`${legacyHead}${pickle}\x80\x02].`), 'file');

const mark = '/tmp/dgate-was-here';

describe('hostile PyTorch files', () => {
  it('the file that the others are made of is read', async () => {
    expect([...(await read(weights())).tensors.keys()]).to.deep.equal(['w']);
  });

  const command = text(`touch ${mark}`);
  const code = text(`open(${JSON.stringify(mark)}, "w")`);
  const calls: [string, string, string][] = [
    ['os.system', `cos\nsystem\n(${command}tR`, 'os.system'],
    ['eval', `cbuiltins\neval\n(${code}tR`, 'builtins.eval'],
    ["Python 2's eval", `c__builtin__\neval\n(${code}tR`, '__builtin__.eval'],
    ['exec', `cbuiltins\nexec\n(${code}tR`, 'builtins.exec'],
    [
      'getattr, to reach what has no name',
      `cbuiltins\ngetattr\n(ctorch\nSize\n${text('__class__')}tR`,
      'builtins.getattr',
    ],
    ['subprocess.Popen by INST', `(${command}isubprocess\nPopen\n`, 'subprocess.Popen'],
    ['os.system by OBJ', `(cos\nsystem\n${command}o`, 'os.system'],
    ['os.system by NEWOBJ', `cos\nsystem\n(${command}t\x81`, 'os.system'],
    ['os.system by its parts on the stack', `${text('os')}${text('system')}\x93(${command}tR`, 'os.system'],
    ['os.system in a persistent id', `(${text('storage')}cos\nsystem\ntQ`, 'os.system'],
    ['os.system in the state of a dict', `}cos\nsystem\n(${command}tRb`, 'os.system'],
    ['an object of any class', `ccopyreg\n_reconstructor\n(NNNtR`, 'copyreg._reconstructor'],
    ['torch.load itself', `ctorch\nload\n(${text('http://x')}tR`, 'torch.load'],
    ['a pickle in a pickle', `ctorch.storage\n_load_from_bytes\n(C\x01.tR`, 'torch.storage._load_from_bytes'],
    ['runpy', `crunpy\nrun_path\n(${text('x.py')}tR`, 'runpy.run_path'],
  ];
  for (const [what, pickle, name] of calls) {
    it(`${what} is refused by name, in both formats, and nothing runs`, async () => {
      const message = new RegExp(`^file: refused: asks for Python's "${name.replaceAll('.', '\\.')}"; valid`);
      await refusal(() => read(weights(`${text('evil')}${pickle}s`)), message);
      await refusal(() => readLegacy(weights(`${text('evil')}${pickle}s`)), message);
      expect(existsSync(mark)).to.equal(false);
    });
  }

  const large = 60_000;
  const amplified: [string, string][] = [
    [
      'a text that is encoded again and again',
      `${long('a'.repeat(large))}q\x050]q\x060${`h\x06c_codecs\nencode\n(h\x05${text('latin1')}tRa0`.repeat(2000)}${text('l')}h\x06s`,
    ],
    [
      'a text that is doubled sixty times',
      `${text('x')}q\x050${'ctorch\ndevice\n(h\x05h\x05tRq\x050'.repeat(60)}${text('l')}h\x05s`,
    ],
    [
      'a long list that is made a set again and again',
      `](${'N'.repeat(large)}eq\x050${'cbuiltins\nset\n(h\x05tR0'.repeat(2000)}${text('l')}Ns`,
    ],
    [
      'a long list that is made a set by INST again and again',
      `](${'N'.repeat(large)}eq\x050${'(h\x05ibuiltins\nset\n0'.repeat(2000)}${text('l')}Ns`,
    ],
    [
      'a long list of pairs that is made a dict again and again',
      `](${'NN\x86'.repeat(large)}eq\x050${'ccollections\nOrderedDict\n(h\x05tR0'.repeat(2000)}${text('l')}Ns`,
    ],
  ];
  for (const [what, pickle] of amplified) {
    it(`${what}: refused before it costs a second or much memory`, async () => {
      const ms = await processorMs(
        () =>
          refusal(
            () => read(weights(pickle)),
            /takes more than \d+ (?:bytes of memory|steps) to read|holds torch.device of something else/,
          ),
        1000,
      );
      expect(ms).to.be.below(1000);
    });
  }

  const rebuilt = (rest: string): string =>
    `\x80\x02}${text('w')}ctorch._utils\n_rebuild_tensor_v2\n(${storage}K\x00(K\x02K\x02t(K\x02K\x01t${rest}tRs.`;
  const odd: [string, string, RegExp][] = [
    ['the conj bit', `\x89}}${text('conj')}\x88s`, /holds a tensor with the "conj" bit; valid/],
    ['a neg bit that is not set, which PyTorch takes for set', `\x89}}${text('neg')}\x89s`, /metadata "neg"; valid/],
    ['metadata of another kind', `\x89}}${text('scale')}K\x02s`, /holds a tensor with metadata "scale"; valid/],
    ['metadata that is no dict', '\x89}K\x01', /holds a tensor whose metadata is no dict; valid/],
    ['backward hooks', `\x89}${text('0')}Ns`, /holds a tensor with backward hooks; valid/],
    ['requires_grad that is a number', 'K\x01}', /holds a tensor whose requires_grad is no boolean; valid/],
    ['one argument too many', '\x89}NK\x01', /arguments that PyTorch does not write; valid/],
  ];
  for (const [what, rest, message] of odd) {
    it(`a tensor with ${what} is refused by name`, () => refusal(() => read(rebuilt(rest)), message));
  }

  it('a tensor with no metadata, or a negated one, is read', async () => {
    for (const rest of ['\x89}', '\x89}N', '\x88}}', `\x88}}${text('neg')}\x88s`]) {
      expect([...(await read(rebuilt(rest))).tensors.keys()]).to.deep.equal(['w']);
    }
  });

  it('names with a hundred thousand wrappers are read in no time', async () => {
    const name = 'model.'.repeat(100_000);
    const pickle = `\x80\x02}${long(`${name}w`)}${tensor}s.`;
    const ms = await processorMs(async () => void (await read(pickle)), 1000);
    expect(ms).to.be.below(1000);
  });

  const loops: [string, string][] = [
    ['a list that holds itself', `${text('loop')}]q\x05h\x05as`],
    ['a dict that holds itself', `${text('loop')}}q\x05${text('again')}h\x05ss`],
    ['an OrderedDict of itself', `${text('loop')}ccollections\nOrderedDict\n)Rq\x05${text('again')}h\x05ss`],
    ['lists of lists, each twice, sixty deep', `${text('wide')}]q\x050${']h\x05ah\x05aq\x050'.repeat(60)}h\x05s`],
    ['a thousand dicts in each other', `${text('deep')}${`}${text('k')}`.repeat(1000)}N${'s'.repeat(1000)}s`],
    ['a hundred thousand memo entries', `${text('memo')}]${'\x94'.repeat(100_000)}s`],
  ];
  for (const [what, pickle] of loops) {
    it(`${what}: read in no time, the weights beside it found`, async () => {
      const ms = await processorMs(async () => {
        expect([...(await read(weights(pickle))).tensors.keys()]).to.deep.equal(['w']);
      }, 1000);
      expect(ms).to.be.below(1000);
    });
  }

  it('a state dict under itself, and only there, is not looked for forever', async () => {
    await refusal(() => read(`\x80\x02}q\x05${text('state_dict')}h\x05s.`), /holds no named tensors/);
  });

  const sizes: [string, string, RegExp][] = [
    ['a text of 4 GB', `\x80\x02X\xff\xff\xff\xff.`, /size 4294967295; valid: at most/],
    ['a text of 2^63 bytes', `\x80\x04\x8d${'\xff'.repeat(7)}\x7f.`, /size 9223372036854776000; valid: at most/],
    ['bytes of 2^64 - 1', `\x80\x04\x8e${'\xff'.repeat(8)}.`, /size 18446744073709552000; valid: at most/],
    ['an integer of 2 GB', '\x80\x02\x8b\xff\xff\xff\x7f.', /size 2147483647; valid: at most 1024/],
    ['a memo far out', `\x80\x02]r\xff\xff\xff\xff0h\x00.`, /memo 0 is not set/],
  ];
  for (const [what, pickle, message] of sizes) {
    it(`${what}, declared and not there, is refused`, async () => {
      await refusal(() => read(pickle), message);
    });
  }

  it('a tensor of 2^60 elements over a few bytes is refused', async () => {
    const vast = weights().replace('(K\x02K\x02t(K\x02K\x01t', '(\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x10t(K\x00t');
    await refusal(() => read(vast), /malformed tensor|larger than the file/);
    const wide = weights().replace('(K\x02K\x02t(K\x02K\x01t', '(J\x00\x00\x00\x40J\x00\x00\x00\x40t(K\x00K\x00t');
    await refusal(
      () => read(wide),
      /w: takes more than 67114400 bytes of memory to read, the limit for 346 bytes; valid: weights alone/,
    );
  });

  it('a storage that claims more elements than the file has is refused', async () => {
    await refusal(
      () => read(weights().replace('K\x04tQ', 'J\x00\x00\x00\x40tQ')),
      /storage 0 has 16 bytes, not 4294967296/,
    );
  });
});

describe('hostile zip archives', () => {
  const zeros = new Uint8Array(70_000_000);

  it('a storage that inflates a thousandfold is refused before it is inflated', async () => {
    const bomb = zipOf([
      { name: 'x/data.pkl', data: binary(weights()) },
      { name: 'x/data/0', data: zeros, deflate: true },
    ]);
    expect(bomb.length).to.be.below(100_000);
    const before = process.memoryUsage.rss();
    await refusal(
      () => readTorch(bomb, 'file'),
      /^file: x\/data\/0: takes more than 6820\d{4} bytes of memory to read/,
    );
    expect(process.memoryUsage.rss() - before).to.be.below(30e6);
  });

  it('so is one that says it were small', async () => {
    const bomb = zipOf([
      { name: 'x/data.pkl', data: binary(weights()) },
      { name: 'x/data/0', data: zeros, deflate: true, declared: 16 },
    ]);
    const before = process.memoryUsage.rss();
    await refusal(() => readTorch(bomb, 'file'), /x\/data\/0: cannot be inflated|does not match its checksum/);
    expect(process.memoryUsage.rss() - before).to.be.below(30e6);
  });

  it('and many that are all the same bytes', async () => {
    const kernel = zipOf([{ name: 'x/data/0', data: zeros.subarray(0, 8_000_000), deflate: true }]);
    // Each of forty tensors has a storage of its own: 8 MB each, together more than such a file can hold.
    const names = Array.from({ length: 40 }, (_, i) => String(i));
    const one = (key: string) => `${text(`w${key}`)}${tensor.replace(text('0'), text(key))}s`;
    const parts = names.map((key) => ({ name: `x/data/${key}`, data: zeros.subarray(0, 8_000_000), deflate: true }));
    const bomb = zipOf([{ name: 'x/data.pkl', data: binary(`\x80\x02}${names.map(one).join('')}.`) }, ...parts]);
    expect(kernel.length).to.be.below(10_000);
    await refusal(() => readTorch(bomb, 'file'), /x\/data\/9: takes more than 7222\d{4} bytes of memory/);
  });

  it('an archive that holds a file of weights is not one itself', async () => {
    const archive = zipOf([{ name: 'run/model.pth', data: binary(weights()) }]);
    await refusal(
      () => readTorch(archive, 'file'),
      /^file: an archive of other files; unpack it and choose one of them$/,
    );
  });

  for (const name of ['../../etc/x/data.pkl', '/etc/x/data.pkl', 'x\\..\\..\\data.pkl', 'C:/x/data.pkl']) {
    it(`an entry called ${name} is refused`, async () => {
      const parts = [
        { name, data: binary(weights()) },
        { name: 'x/data/0', data: new Uint8Array(16) },
      ];
      await refusal(
        () => readTorch(zipOf(parts), 'file'),
        /^file: (damaged zip archive: |.*data\/0 is missing|a zip archive with 0 data\.pkl)/,
      );
    });
  }

  it('a storage key leads nowhere but to an entry of the archive', async () => {
    const away = weights().replace(text('0'), text('../../../etc/passwd'));
    await refusal(() => read(away), /^file: x\/data\/\.\.\/\.\.\/\.\.\/etc\/passwd is missing from the archive$/);
  });

  it('names are said without what a terminal would obey', async () => {
    const noisy = weights().replace(text('0'), text('a\n\x1b]0;owned\x07'));
    const error = await refusal(() => read(noisy), /is missing from the archive/);
    expect(error.problems[0]).to.contain('x/data/a\\n\\u001b]0;owned\\u0007');
  });

  it('two entries of one name, and two pickles, are refused', async () => {
    await refusal(() => read(weights(), { name: 'x/data/0', data: new Uint8Array(16) }), /x\/data\/0 twice/);
    await refusal(
      () => read(weights(), { name: 'y/data.pkl', data: binary(weights()) }),
      /with 2 data\.pkl; valid: one/,
    );
  });
});

describe('hostile safetensors files', () => {
  /** A header's length, and what follows. */
  const file = (length: bigint, header: string, data = 0): Buffer => {
    const first = Buffer.alloc(8);
    first.writeBigUInt64LE(length);
    return Buffer.concat([first, Buffer.from(header), Buffer.alloc(data)]);
  };
  const whole = (header: object | string, data = 0): Buffer => {
    const json = typeof header === 'string' ? header : JSON.stringify(header);
    return file(BigInt(Buffer.byteLength(json)), json, data);
  };
  const f32 = (shape: unknown, offsets: unknown) => ({ dtype: 'F32', shape, data_offsets: offsets });

  const cases: [string, Buffer, RegExp][] = [
    ['a header of 2^60 bytes', file(2n ** 60n, '{}'), /header of 1152921504606846976 bytes; valid: at most 2/],
    ['a header of 2^63 bytes', file(2n ** 63n, '{}'), /header of 9223372036854775808 bytes/],
    [
      'an offset of 2^53',
      whole({ a: f32([1], [2 ** 53, 2 ** 53 + 4]) }, 4),
      /a: data_offsets .*; valid: \[begin, end\]/,
    ],
    ['an offset in words', whole({ a: f32([1], ['0', '4']) }, 4), /a: data_offsets \["0","4"\]/],
    ['a shape with half an element', whole({ a: f32([0.5], [0, 2]) }, 2), /a: shape \[0\.5\]/],
    ['a shape of a hundred axes', whole({ a: f32(new Array(100).fill(1), [0, 4]) }, 4), /a: shape/],
    ['a type that nothing has', whole({ a: { ...f32([1], [0, 4]), dtype: '__proto__' } }, 4), /dtype "__proto__"/],
    ['a type that is no text', whole({ a: { ...f32([1], [0, 4]), dtype: ['F32'] } }, 4), /dtype \["F32"\]/],
    ['two tensors in the same bytes', whole({ a: f32([1], [0, 4]), b: f32([1], [0, 4]) }, 4), /b: overlaps/],
    [
      'a name twice, written in two ways',
      whole(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        8,
      ),
      /header names a twice/,
    ],
    ['brackets a hundred thousand deep', whole('['.repeat(100_000)), /header: nested more/],
    ['a name that clears the screen', whole({ 'a\u001b[2J\n': 1 }), /^file: a\\u001b\[2J\\n: not an object/],
  ];
  for (const [what, bytes, message] of cases) {
    it(`${what}: refused in one line`, async () => {
      const error = await refusal(() => parseSafetensors(bytes, 'file'), message);
      expect(error.problems).to.have.length(1);
      expect(error.problems[0]!.length).to.be.at.most(2000);
    });
  }

  it('a tensor called __proto__ is a tensor', () => {
    const { tensors } = parseSafetensors(
      whole('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      'file',
    );
    expect([...tensors.keys()]).to.deep.equal(['__proto__']);
    const { metadata } = parseSafetensors(whole('{"__metadata__":{"__proto__":"x"}}'), 'file');
    expect(({} as { x?: unknown }).x).to.equal(undefined);
    expect(Object.keys(metadata)).to.deep.equal(['__proto__']);
  });

  it('a hundred thousand names are gone through in time', async () => {
    const names = Array.from({ length: 100_000 }, (_, i) => [`t${i}`, f32([0], [0, 0])]);
    const bytes = whole(Object.fromEntries(names) as object);
    const ms = await processorMs(() => expect(parseSafetensors(bytes, 'file').tensors.size).to.equal(100_000));
    expect(ms).to.be.below(5000);
  });
});
