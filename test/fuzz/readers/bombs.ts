import { deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import sharp from 'sharp';
import { decodeModel, encodeModel, type NodeMessage } from '../../../src/onnx/proto.js';
import { compressed, element, fileOf, int, matrix, struct } from '../../data/imagenet/mats.js';
import { field, graphOf, INITIALIZER, NODE } from '../../onnx/fields.js';
import { residualGraph } from '../../onnx/user-graphs.js';
import { upTo } from '../amplify.js';
import { chunk } from '../png.js';
import { OUTSIDE } from './onnx.js';
import { wheelBomb } from './programs.js';

// Images, archives, MATLAB files and networks that ask for more than they hold.

const zeros = (bytes: number): Buffer => deflateSync(Buffer.alloc(bytes), { level: 1 });

/** PNGs of any size whose pixels are zeros, with chunks that inflate, many small ones, and animations. */
async function pngBombs(): Promise<fc.Arbitrary<Uint8Array>> {
  const small = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  const extra = fc.record({
    type: fc.constantFrom(
      'zTXt',
      'iTXt',
      'iCCP',
      'tEXt',
      'eXIf',
      'acTL',
      'fdAT',
      'IDAT',
      'PLTE',
      'tRNS',
      'ZzZz',
      'sPLT',
    ),
    inflated: upTo(30_000_000),
    isPacked: fc.boolean(),
    times: upTo(3000),
  });
  const header = fc.record({
    width: upTo(70_000),
    height: upTo(70_000),
    depth: fc.constantFrom(1, 8, 16),
    colour: fc.constantFrom(0, 2, 3, 6),
    interlace: fc.nat(1),
  });
  return fc.tuple(fc.array(extra, { maxLength: 2 }), fc.option(header)).map(([extras, said]) => {
    const chunks = extras.map(({ type, inflated, isPacked, times }) => {
      const data = Buffer.concat([
        Buffer.from('k\0\0'),
        isPacked ? zeros(inflated) : Buffer.alloc(Math.min(inflated, 2000)),
      ]);
      const one = chunk(type, data);
      return Buffer.concat(new Array<Buffer>(Math.min(times, Math.ceil(1_000_000 / one.length))).fill(one));
    });
    if (said === null) return Buffer.concat([small.subarray(0, 33), ...chunks, small.subarray(33)]);
    const ihdr = Buffer.alloc(13);
    ihdr.writeUInt32BE(said.width, 0);
    ihdr.writeUInt32BE(said.height, 4);
    ihdr.set([said.depth, said.colour, 0, 0, said.interlace], 8);
    const pixels = zeros(Math.min(40_000_000, said.height * (said.width * 4 + 1)));
    return Buffer.concat([
      small.subarray(0, 8),
      chunk('IHDR', ihdr),
      ...chunks,
      chunk('IDAT', pixels),
      chunk('IEND', Buffer.alloc(0)),
    ]);
  });
}

/** JPEGs with a segment or a scan again and again. */
async function jpegBombs(): Promise<fc.Arbitrary<Uint8Array>> {
  const files = await Promise.all(
    [16, 600, 2000].flatMap((side) =>
      [true, false].map((progressive) =>
        sharp({ create: { width: side, height: side, channels: 3, background: 'red' } })
          .jpeg({ progressive })
          .toBuffer(),
      ),
    ),
  );
  return fc.tuple(fc.constantFrom(...files), fc.nat(), upTo(5000), fc.nat(20)).map(([file, which, times, length]) => {
    const starts: number[] = [];
    for (let at = file.indexOf(0xff, 2); at >= 0 && at + 1 < file.length; at = file.indexOf(0xff, at + 1)) {
      if (file[at + 1] !== 0 && file[at + 1] !== 0xff) starts.push(at);
    }
    const from = which % starts.length;
    const to = starts[from + 1 + (length % 3)] ?? file.length - 2;
    const part = file.subarray(starts[from]!, Math.max(to, starts[from]!));
    const most = Math.floor(1_000_000 / Math.max(1, part.length));
    return Buffer.concat([
      file.subarray(0, to),
      ...new Array<Buffer>(Math.min(times, most)).fill(part),
      file.subarray(to),
    ]);
  });
}

/** GIFs and TIFFs of many frames or pages, or of a size that they do not hold. */
async function otherBombs(): Promise<fc.Arbitrary<Uint8Array>> {
  const page = sharp({ create: { width: 300, height: 300, channels: 3, background: 'red' } });
  const [gif, tiff, webp] = await Promise.all([
    page.clone().gif().toBuffer(),
    page.clone().tiff({ compression: 'deflate' }).toBuffer(),
    page.clone().webp().toBuffer(),
  ]);
  const frame = gif!.subarray(gif!.indexOf(0x2c), gif!.length - 1);
  const frames = upTo(1000).map((count) =>
    Buffer.concat([gif!.subarray(0, -1), ...new Array<Buffer>(count).fill(frame), Buffer.from([0x3b])]),
  );
  const sized = fc.tuple(fc.constantFrom(gif!, tiff!, webp!), fc.nat(400), upTo(2 ** 31)).map(([file, at, value]) => {
    const copy = Buffer.from(file);
    copy.writeUInt32LE(value, at % (copy.length - 4));
    return copy;
  });
  return fc.oneof(frames, sized);
}

/** A header of a tar entry, and its bytes. */
function entryOf(name: string, type: string, data: Buffer, said = data.length): Buffer {
  const head = Buffer.alloc(512);
  head.write(name, 0, 100, 'latin1');
  head.write('0000644\0', 100);
  head.write(`${said.toString(8).padStart(11, '0')}\0`, 124);
  head.write(`        ${type}`, 148);
  head.write('ustar\x0000', 257, 'latin1');
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([head, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

function tarBombs(): fc.Arbitrary<Uint8Array> {
  const entry = fc.record({
    name: fc.constantFrom('data_batch_1.bin', 'test_batch.bin', 'other', `${'d/'.repeat(45)}x`),
    type: fc.constantFrom('0', '1', '2', '5', 'x', 'g', 'L', 'K'),
    size: upTo(200_000),
    said: fc.option(upTo(2 ** 33)),
    times: upTo(20_000),
    fill: fc.constantFrom('\0', '9 path=x\n', 'a/'),
  });
  return fc.array(entry, { minLength: 1, maxLength: 3 }).map((entries) => {
    const whole = entries.map(({ name, type, size, said, times, fill }) => {
      const one = entryOf(name, type, Buffer.alloc(size, fill), said ?? size);
      return Buffer.concat(new Array<Buffer>(Math.min(times, Math.ceil(30_000_000 / one.length))).fill(one));
    });
    return gzipSync(Buffer.concat([...whole, Buffer.alloc(1024)]), { level: 1 });
  });
}

function matBombs(): fc.Arbitrary<Uint8Array> {
  const inner = fc
    .tuple(fc.constantFrom(1, 2, 4, 6, 9, 13), fc.constantFrom(1, 2, 5, 9, 12), upTo(16_000_000))
    .map(([kind, type, bytes]) => matrix(kind, element(type, Buffer.alloc(bytes))));
  const fields = fc
    .tuple(upTo(50), upTo(500_000))
    .map(([width, bytes]) =>
      matrix(2, int(width), element(1, Buffer.alloc(bytes, 'a')), element(14, Buffer.alloc(bytes))),
    );
  const nested = upTo(3000).map((levels) => {
    let whole = matrix(6, element(2, Buffer.from([1])));
    for (let i = 0; i < levels && whole.length < 200_000; i++) whole = struct(whole);
    return whole;
  });
  return fc.tuple(fc.oneof(inner, fields, nested), upTo(2000), fc.boolean()).map(([one, times, isPacked]) => {
    const part = isPacked ? compressed(one) : one.subarray(0, 800_000);
    return fileOf(...new Array<Buffer>(Math.min(times, Math.ceil(800_000 / part.length))).fill(part));
  });
}

/** Networks with very many or very large parts, on their own and in a network that is sound. */
function networkBombs(): fc.Arbitrary<Uint8Array> {
  const sound = residualGraph('own').builder.encode();
  const chained = fc
    .tuple(upTo(8000), fc.constantFrom('Identity', 'Relu', 'Conv', 'nope', 'Constant', 'Reshape', 'Concat'))
    .map(([count, op]) => {
      const model = decodeModel(sound);
      const [first, ...others] = model.graph.input;
      const nodes = Array.from(
        { length: count },
        (_, i): NodeMessage => ({
          op_type: op,
          name: '',
          input: [i === 0 ? 'before' : `chain${i - 1}`],
          output: [i === count - 1 ? first!.name : `chain${i}`],
          attribute: [],
        }),
      );
      return encodeModel({
        ...model,
        graph: {
          ...model.graph,
          input: [{ ...first!, name: 'before' }, ...others],
          node: [...nodes, ...model.graph.node],
        },
      });
    });
  const wide = fc
    .tuple(upTo(100_000), fc.constantFrom(1, 2, 3, 4, 5))
    .map(([count, part]) =>
      graphOf(field(NODE, Buffer.concat(new Array<Buffer>(count).fill(field(part, part === 5 ? '' : 'x'))))),
    );
  const outside = fc
    .tuple(upTo(3000), fc.constantFrom(OUTSIDE, `./${OUTSIDE}`, `x/../${OUTSIDE}`), fc.boolean())
    .map(([count, location, isNumbered]) => {
      const tensors = Array.from({ length: count }, (_, i) => {
        const path = isNumbered ? `${'./'.repeat(i % 50)}${location}` : location;
        const entry = field(13, Buffer.concat([field(1, 'location'), field(2, path)]));
        return field(INITIALIZER, Buffer.concat([field(8, `t${i}`), entry, Buffer.from([14 << 3, 1])]));
      });
      return graphOf(field(NODE, field(4, 'Relu')), ...tensors);
    });
  const deep = upTo(5000).map((levels) => {
    let inner = field(NODE, '');
    for (let i = 0; i < levels; i++) inner = field(NODE, field(5, field(6, inner)));
    return graphOf(inner);
  });
  const sizes = fc.tuple(fc.nat(), fc.nat(3), upTo(2 ** 50)).map(([which, at, size]) => {
    const model = decodeModel(sound);
    const initializer = model.graph.initializer.map((tensor, i, all) =>
      i === which % all.length
        ? { ...tensor, dims: tensor.dims.map((dim, d) => (d === at % tensor.dims.length ? size : dim)) }
        : tensor,
    );
    return encodeModel({ ...model, graph: { ...model.graph, initializer } });
  });
  const properties = upTo(50_000).map((count) =>
    Buffer.concat([
      sound,
      ...new Array<Buffer>(count).fill(field(14, Buffer.concat([field(1, 'dgate.x'), field(2, '[')]))),
    ]),
  );
  return fc.oneof(chained, wide, outside, deep, sizes, properties);
}

/** By the reader that takes them. */
export const bombs: Readonly<Record<string, () => fc.Arbitrary<unknown> | Promise<fc.Arbitrary<unknown>>>> = {
  'images, PNG': pngBombs,
  'images, JPEG': jpegBombs,
  'images, other formats': otherBombs,
  'tar.gz archive': tarBombs,
  'ImageNet, meta.mat': matBombs,
  'ONNX, own network': networkBombs,
  wheels: wheelBomb,
};
