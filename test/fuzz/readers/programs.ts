import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { int, legacyFile, storage, tensor, text, zipFile } from '../../checkpoints/pickles.js';
import { upTo } from '../amplify.js';
import { zipOf } from '../zip.js';

// Checkpoints that ask for more than they hold.

/** What a program has to work with: h0 a long text, h1 `latin1`, h2 a list, h3 a dict, h4 the last thing made. */
const prelude = (letters: number, values: number): string =>
  `${text('x'.repeat(letters))}q\x000${text('latin1')}q\x010](${'N'.repeat(values)}eq\x020}q\x03q\x04`;

/** Each leaves one thing on the stack in the place of another. */
const operations = [
  ...['c_codecs\nencode\n(h\x00h\x01tR', 'cbuiltins\nset\n(h\x02tR', 'cbuiltins\nfrozenset\n(h\x02tR'],
  ...['ccollections\nOrderedDict\n(h\x02tR', 'ctorch\nSize\n(h\x02tR', 'ctorch\ndevice\n(h\x00K\x01tR'],
  // Everything twice: as a tuple, a list, a dict, a set; nested as often as it is repeated.
  ...['h\x04h\x04\x86', '](h\x04h\x04e', '}h\x00h\x04s', '\x8f(h\x00h\x01\x90', '}(h\x00h\x04h\x01h\x04u', 'h\x04\x85'],
  ...['h\x04h\x03\x86', 'h\x02', '](h\x02h\x02h\x02h\x02e', '(h\x00h\x00h\x00h\x00l', '(h\x00h\x02d'],
  ...[
    tensor(storage(4), int(2), 'K\x01'),
    tensor(storage(4), `${int(1)}${int(4)}`, 'K\x04K\x00'),
    tensor(storage(4), 'K\x01'.repeat(64), 'K\x01'.repeat(64)),
    tensor(storage(2 ** 28), int(2 ** 28), 'K\x00'),
    tensor(storage(1), int(2 ** 30), 'K\x00'),
  ],
  ...['N', '}', ']', ')', '\x8f', `\x8b\xe8\x03\x00\x00${'\x7f'.repeat(1000)}`, `V${'\\u0041'.repeat(100)}\n`],
  ...[`I${'9'.repeat(400)}\n`, `L${'9'.repeat(2000)}L\n`, `F${'1'.repeat(2000)}\n`, `S'${'\\x41'.repeat(100)}'\n`],
];

/** Where what was made is kept: thrown away, in place of the last, in a list or in a dict, under a name that grows. */
const keeping = [
  (made: string) => `0${made}`,
  (made: string) => `0${made}q\x04`,
  (made: string) => made,
  (made: string, i: number) => `r${int(i + 10).slice(1)}${made}`,
  (made: string, i: number) => `0h\x03${text(`w${i}`)}${made}s`,
  (made: string) => `0h\x02${made}a`,
];

/** Programs of allowed operations, some repeated very often. */
export function pickleProgram(format: 'legacy' | 'zip'): fc.Arbitrary<Uint8Array> {
  const block = fc.record({
    operation: fc.constantFrom(...operations),
    keep: fc.constantFrom(...keeping),
    times: upTo(20_000),
  });
  return fc
    .tuple(upTo(100_000), upTo(50_000), fc.array(block, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '0h\x03'))
    .map(([letters, values, blocks, last]) => {
      const body = blocks.map(({ operation, keep, times }) => {
        const room = Math.floor(800_000 / (operation.length + 20));
        return Array.from({ length: Math.min(times, room) }, (_, i) => keep(operation, i)).join('');
      });
      const pickle = `${prelude(letters, values)}${body.join('')}${last}.`;
      return format === 'legacy' ? legacyFile(pickle) : zipFile(`\x80\x02${pickle}`, new Uint8Array(16));
    });
}

/** Archives of many storages: small ones, such that inflate, and such that say another size. */
export function sharedZip(): fc.Arbitrary<Uint8Array> {
  return fc
    .record({
      count: upTo(5000),
      zeros: upTo(20_000_000),
      deflate: fc.boolean(),
      declared: upTo(2 ** 32 - 1),
      lies: fc.boolean(),
    })
    .map(({ count, zeros, deflate, declared, lies }) => {
      const most = deflate ? 30_000_000 : 600_000;
      const data = Buffer.alloc(Math.min(zeros, Math.floor(most / count)));
      const keys = Array.from({ length: count }, (_, i) => String(i));
      const one = (key: string): string =>
        `${text(`w${key}`)}${tensor(storage(data.length >> 2, key), int(data.length >> 2), 'K\x01')}s`;
      const pickle = Buffer.from(`\x80\x02}${keys.map(one).join('')}.`, 'latin1');
      const said = lies ? { declared: Math.floor(declared) } : {};
      const parts = keys.map((key) => ({ name: `x/data/${key}`, data, deflate, ...said }));
      return zipOf([{ name: 'x/data.pkl', data: pickle }, ...parts]);
    });
}

/** Safetensors files of many tensors: none of any bytes, all of the same, each of its own; and long names, shapes, metadata. */
export function tensorHeader(): fc.Arbitrary<Uint8Array> {
  return fc
    .record({
      count: upTo(8000),
      data: upTo(200_000),
      place: fc.constantFrom('empty', 'same', 'own', 'over', 'backwards'),
      rank: fc.constantFrom(1, 2, 64, 65, 1000),
      letters: upTo(10_000),
      metadata: upTo(20_000),
      same: fc.boolean(),
    })
    .map(({ count, data, place, rank, letters, metadata, same }) => {
      const room = Math.max(1, Math.floor(600_000 / (letters + 2 * rank + 70)));
      const each = Math.floor(data / count);
      const tensors = Array.from({ length: Math.min(count, room) }, (_, i) => {
        const [begin, end] = {
          empty: [0, 0],
          same: [0, data],
          own: [i * each, (i + 1) * each],
          over: [i, i + each],
          backwards: [data - i, data],
        }[place]!;
        const shape = [...new Array<number>(rank - 1).fill(1), Math.floor((end! - begin!) / 4)];
        return `"${'n'.repeat(letters)}${same ? '' : i}":{"dtype":"F32","shape":[${shape.join()}],"data_offsets":[${begin},${end}]}`;
      });
      const notes = Array.from({ length: metadata }, (_, i) => `"k${i}":""`);
      const header = Buffer.from(`{"__metadata__":{${notes.join()}},${tensors.join()}}`);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      return Buffer.concat([length, header, Buffer.alloc(data)]);
    });
}

/** Wheels whose record inflates, or that hold very many files. */
export function wheelBomb(): fc.Arbitrary<Uint8Array> {
  return fc.tuple(upTo(200_000_000), upTo(8000), fc.boolean()).map(([zeros, files, lies]) => {
    const packed = deflateRawSync(Buffer.alloc(Math.min(zeros, 30_000_000)), { level: 1 });
    const record = lies
      ? { data: packed, declared: 100, deflate: false }
      : { data: Buffer.alloc(Math.min(zeros, 30_000_000)), deflate: true };
    const others = Array.from({ length: files }, (_, i) => ({ name: `f${i}`, data: new Uint8Array() }));
    return zipOf([{ name: 'a/RECORD', ...record }, ...others]);
  });
}
