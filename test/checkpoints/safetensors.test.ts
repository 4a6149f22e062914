import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { toFloat16Bits, toFloat32 } from '../../src/checkpoints/dtypes.js';
import {
  encodeSafetensors,
  parseSafetensors,
  readSafetensors,
  type Storable,
  writeSafetensors,
} from '../../src/checkpoints/load.js';
import { InputError } from '../../src/errors.js';
import { fixture, inFolder, refusal } from './helpers.js';

function encode(
  arrays: Record<string, Storable> | Map<string, Storable>,
  metadata: Record<string, string> = {},
): Buffer {
  return Buffer.concat([
    ...encodeSafetensors(arrays instanceof Map ? arrays : new Map(Object.entries(arrays)), metadata),
  ]);
}

/** A file with this header and this many zero bytes of data. */
function file(header: unknown, dataBytes: number): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('safetensors: reading', () => {
  it('takes a text of 16 million characters in its header for what it is', async () => {
    const header = JSON.stringify({ __metadata__: { note: '\\"x'.repeat(4_000_000) }, w: f32([1], 0, 4) });
    expect(header.length).to.be.greaterThan(16_000_000);
    expect([...(await readSafetensors(file(header, 4))).tensors.keys()]).to.deep.equal(['w']);
    await refusal(() => readSafetensors(file(`${header.slice(0, -1)},"w":0}`, 4)), /header names w twice/);
  });

  it("reads every type that Python's safetensors writes", async () => {
    const { tensors, metadata } = await readSafetensors(await fixture('python.safetensors'));
    const values = Object.fromEntries([...tensors].map(([name, { data }]) => [name, [...data]]));
    expect(values).to.deep.equal({
      double: [Math.fround(0.1)],
      long: [-5],
      weight: [0, 0.25, 0.5, 0.75, 1, 1.25],
      empty: [],
      int32: [-1, 2],
      half: [0.5, -2, 65504, 2 ** -24],
      int16: [-3],
      int8: [-4],
      uint8: [255, 0, 1],
      bool: [1, 0],
    });
    expect(tensors.get('weight')?.shape).to.deep.equal([2, 3]);
    expect(tensors.get('long')?.shape).to.deep.equal([]);
    expect({ ...metadata }).to.deep.equal({ network: 'tiny', note: 'ümlaut' });
  });

  it('shares aligned F32 data with the file and copies unaligned data', async () => {
    const bytes = new Uint8Array(encode({ a: { shape: [2], data: Float32Array.of(1, 2) } }));
    const { tensors } = await readSafetensors(bytes);
    expect(tensors.get('a')?.data.buffer).to.equal(bytes.buffer);
    const shifted = new Uint8Array(bytes.length + 1).subarray(1);
    shifted.set(bytes);
    const unaligned = await readSafetensors(shifted);
    expect([...unaligned.tensors.get('a')!.data]).to.deep.equal([1, 2]);
  });

  it('gives labels back as the integers they are', () => {
    const bytes = encode({ labels: { dtype: 'I32', shape: [3], data: Int32Array.of(-1, 2, 2_000_000_001) } });
    const raw = parseSafetensors(bytes, 'x').tensors.get('labels')!;
    expect(raw.dtype).to.equal('I32');
    expect(Buffer.from(raw.bytes).readInt32LE(8)).to.equal(2_000_000_001);
  });

  const hostile: [string, Buffer, RegExp][] = [
    ['an empty file', Buffer.alloc(0), /too few/],
    [
      'a header longer than the file',
      file({}, 0).fill(0xff, 0, 8),
      /header of 18446744073709551615 bytes; valid: at most/,
    ],
    ['a header that is not JSON', file('{"a":', 0), /header: not JSON/],
    [
      'a header that is not UTF-8',
      Buffer.concat([Buffer.of(2, 0, 0, 0, 0, 0, 0, 0), Buffer.of(0xff, 0xfe)]),
      /not JSON/,
    ],
    ['a list as header', file([], 0), /not a JSON object/],
    [
      'a name that stands twice',
      file('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0061":{}}', 0),
      /names a twice/,
    ],
    ['a key of a tensor that stands twice', file('{"a":{"dtype":"F32","dtype":"U8"}}', 0), /names dtype twice/],
    [
      'an unknown type',
      file({ a: { ...f32([1], 0, 4), dtype: 'F31' } }, 4),
      /a: dtype "F31"; valid: F64, F32, .*; save tensor\.float\(\)$/,
    ],
    ['a type that every object has', file({ a: { ...f32([1], 0, 4), dtype: 'toString' } }, 4), /dtype "toString"/],
    ['a negative size', file({ a: f32([-1], 0, 4) }, 4), /a: shape \[-1\]/],
    ['offsets beyond the end', file({ a: f32([4], 0, 16) }, 4), /a: bytes 0 to 16 lie outside.*; valid: a whole file$/],
    ['offsets in reverse', file({ a: f32([1], 4, 0) }, 4), /a: bytes 4 to 0/],
    ['a size that does not fit the shape', file({ a: f32([2], 0, 4) }, 4), /a: 4 bytes; F32 \[2\] needs 8/],
    ['a shape that overflows', file({ a: f32([2 ** 40, 2 ** 40], 0, 4) }, 4), /a: 4 bytes/],
    ['overlapping tensors', file({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8), /b: overlaps/],
    ['a gap between tensors', file({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /b: leaves a gap/],
    ['bytes after the last tensor', file({ a: f32([1], 0, 4) }, 8), /8 bytes of data; the header's tensors fill 4/],
    ['metadata that is not text', file({ __metadata__: { a: 1 } }, 0), /__metadata__: valid: an object of strings/],
    ['a tensor that is null', file({ a: null }, 0), /a: not an object/],
  ];
  for (const [what, bytes, message] of hostile) {
    it(`refuses ${what}`, async () => {
      const error = await refusal(() => parseSafetensors(bytes, 'some/file'), message);
      expect(error.problems).to.have.length(1);
      expect(error.message).to.match(/^some\/file: /);
    });
  }

  it('refuses a file that was cut off anywhere', async () => {
    const whole = await fixture('python.safetensors');
    for (let length = 0; length < whole.length; length += 7) {
      await refusal(() => parseSafetensors(whole.subarray(0, length), 'x'), /^x: /);
    }
  });

  it('says where a file is missing', async () => {
    await refusal(() => readSafetensors('/nowhere/x.safetensors'), /^\/nowhere\/x.safetensors: no such file$/);
  });
});

describe('safetensors: writing', () => {
  it('comes back as it was, in the same order, every array aligned', async () => {
    const bytes = encode(
      new Map<string, Storable>([
        ['odd', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
        ['b.weight', { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
        ['a.bias', { shape: [1], data: Float32Array.of(-0.5) }],
        ['scalar', { dtype: 'I64', shape: [], data: BigInt64Array.of(7n) }],
        ['half', { dtype: 'F16', shape: [1], data: toFloat16Bits(Float32Array.of(0.1)) }],
        ['0', { shape: [1], data: new Float32Array(1) }],
      ]),
      { network: 'tiny', '"quoted"': 'a\nb' },
    );
    const { tensors, metadata } = parseSafetensors(bytes, 'x');
    expect([...tensors.keys()]).to.deep.equal(['scalar', 'b.weight', 'a.bias', '0', 'half', 'odd']);
    expect({ ...metadata }).to.deep.equal({ network: 'tiny', '"quoted"': 'a\nb' });
    expect([...toFloat32('F32', tensors.get('b.weight')!.bytes)]).to.deep.equal([1, 2, 3, 4]);
    const base = bytes.byteOffset;
    expect((tensors.get('scalar')!.bytes.byteOffset - base) % 8).to.equal(0);
    expect((tensors.get('a.bias')!.bytes.byteOffset - base) % 4).to.equal(0);
  });

  it('copies no tensor', () => {
    const data = new Float32Array(1000);
    const chunks = [...encodeSafetensors(new Map([['a', { shape: [1000], data }]]))];
    expect(chunks.at(-1)?.buffer).to.equal(data.buffer);
  });

  it('refuses data that does not fill its shape', () => {
    expect(() => encode({ a: { shape: [3], data: new Float32Array(2) } })).to.throw(RangeError, /a: 2 elements/);
  });

  it('writes a file that is read again', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'deep', 'x.safetensors');
      await writeSafetensors(path, new Map([['a', { shape: [1], data: Float32Array.of(3) }]]), { k: 'v' });
      expect([...(await readSafetensors(path)).tensors.get('a')!.data]).to.deep.equal([3]);
      const cut = join(folder, 'cut.safetensors');
      await writeFile(cut, (await readFile(path)).subarray(0, -1));
      await refusal(() => readSafetensors(cut), /cut\.safetensors: a: bytes 0 to 4 lie outside/);
    });
  });
});

describe('float16', () => {
  it('every value survives the way to float32 and back', () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((bits) => (bits & 0x7fff) <= 0x7c00);
    expect(toFloat16Bits(toFloat32('F16', new Uint8Array(all.buffer)))).to.deep.equal(all);
  });

  it('rounds to nearest, ties to even, as numpy does', () => {
    // numpy.array([...], numpy.float32).astype(numpy.float16).view(numpy.uint16)
    const values = Float32Array.of(0.1, 1 / 3, 2049, 2051, 65519, 65520, 1e-8, 3e-8, 6.1e-5, -0, Infinity, NaN);
    const bits = [0x2e66, 0x3555, 0x6800, 0x6802, 0x7bff, 0x7c00, 0, 1, 0x03ff, 0x8000, 0x7c00, 0x7e00];
    expect([...toFloat16Bits(values)]).to.deep.equal(bits);
  });
});

describe('numbers of a safetensors header', () => {
  const file = (header: string): Uint8Array => {
    const json = Buffer.from(header);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, json, Buffer.alloc(8)]);
  };
  const header = (shape: string, end: string) =>
    `{"a \\" 1e5 \\\\":{"dtype":"F32","shape":[${shape}],"data_offsets":[0,${end}]}}`;

  it('are in plain digits', () => {
    expect(parseSafetensors(file(header('2', '8')), 'f').tensors.size).to.equal(1);
    for (const [shape, end, odd] of [
      ['2e0', '8', '2e0'],
      ['2', '8.0', '8.0'],
      ['0.2e1', '8', '0.2e1'],
      ['2', '80E-1', '80E-1'],
      ['2', '8.00', '8.00'],
    ]) {
      expect(() => parseSafetensors(file(header(shape!, end!)), 'f')).to.throw(
        InputError,
        `f: header has the number ${odd}; valid`,
      );
    }
  });
});
