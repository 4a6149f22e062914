import { deflateSync } from 'node:zlib';
import { expect } from 'chai';
import sharp from 'sharp';
import { decodeImage, withoutExtras } from '../../src/data/image-folder/decode.js';
import { chunk } from '../fuzz/png.js';
import { processorMs } from '../processorTime.js';

const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const geometry = { resize: 20, crop: 16, interpolation: 'bilinear', squash: false, order: 'rgb' } as const;
/** 20 MB that are 20 kB in a file, as each kind of chunk may hold them. */
const packed = deflateSync(Buffer.alloc(20e6, 'a'));
const bombs: readonly (readonly [string, Buffer])[] = [
  ['zTXt', Buffer.concat([text('k\0\0'), packed])],
  ['iTXt', Buffer.concat([text('k\0\x01\0\0\0'), packed])],
  ['iCCP', Buffer.concat([text('k\0\0'), packed])],
  ['zzZz', packed],
];

describe('chunks of a PNG that are no part of its picture', () => {
  let plain: Buffer;
  before(async () => {
    const raw = Uint8Array.from({ length: 24 * 20 * 3 }, (_, i) => (i * 37) % 256);
    plain = await sharp(raw, { raw: { width: 24, height: 20, channels: 3 } })
      .png()
      .toBuffer();
  });
  /** Behind the header, or before the end. */
  const front = (...chunks: Buffer[]) => Buffer.concat([plain.subarray(0, 33), ...chunks, plain.subarray(33)]);
  const back = (...chunks: Buffer[]) => Buffer.concat([plain.subarray(0, -12), ...chunks, plain.subarray(-12)]);

  for (const [type, data] of bombs) {
    it(`${type}: fifty of 20 MB cost nothing`, async () => {
      const expected = await decodeImage(plain, geometry);
      const many = Array.from({ length: 50 }, () => chunk(type, data));
      for (const file of [front(...many), back(...many)]) {
        const ms = await processorMs(
          async () => expect(await decodeImage(file, geometry)).to.deep.equal(expected),
          1000,
        );
        expect(ms).to.be.below(1000);
      }
    });
  }

  it('are left out, and all that is the picture stays, byte for byte', async () => {
    const extras = bombs.map(([type, data]) => chunk(type, data));
    const picture = Buffer.from(withoutExtras(plain));
    expect(Buffer.from(withoutExtras(front(...extras)))).to.deep.equal(picture);
    expect(Buffer.from(withoutExtras(back(...extras)))).to.deep.equal(picture);
    const [a, b] = await Promise.all([plain, picture].map((file) => sharp(file).raw().toBuffer()));
    expect(a).to.deep.equal(b);
  });

  it('keep their file as it is where there are none, where it is cut off, and where it is no PNG', () => {
    const picture = withoutExtras(plain);
    expect(withoutExtras(picture)).to.equal(picture);
    const cut = front(chunk('zTXt', packed)).subarray(0, 1000);
    expect(withoutExtras(cut).length).to.be.within(900, 1000);
    const other = text('GIF89a zTXt');
    expect(withoutExtras(other)).to.equal(other);
  });

  it('keeps the transparent colour', async () => {
    const palette = await sharp(Buffer.from([1, 2, 3, 0, 4, 5, 6, 255]), { raw: { width: 2, height: 1, channels: 4 } })
      .png({ palette: true })
      .toBuffer();
    expect(palette.includes('tRNS')).to.equal(true);
    expect(withoutExtras(palette)).to.satisfy((file: Uint8Array) => Buffer.from(file).includes('tRNS'));
  });
});
