import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import sharp from 'sharp';
import { decodeImage, isOrdinary, jpegHeader } from '../../../src/data/image-folder/decode.js';
import { type Geometry, geometryOf, placementOf, usualGeometry } from '../../../src/data/preprocess.js';
import { InputError } from '../../../src/errors.js';
import { bmp } from './bmp.js';

const fixtures = fileURLToPath(new URL('../../fixtures/images/', import.meta.url));
const sample = fileURLToPath(new URL('../../../../shared/imagenet-sample/', import.meta.url));
const python = '/usr/bin/python3';

const small: Geometry = { ...usualGeometry, resize: 32, crop: 28 };

/** Mean and largest difference of (3, n) bytes to (n, 3) bytes. */
function difference(found: Uint8Array, expected: Uint8Array): { mean: number; most: number } {
  const size = expected.length / 3;
  expect(found).to.have.length(expected.length);
  let [sum, most] = [0, 0];
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) {
      const one = Math.abs(found[c * size + i]! - expected[3 * i + c]!);
      sum += one;
      most = Math.max(most, one);
    }
  }
  return { mean: sum / expected.length, most };
}

describe('decodeImage', () => {
  // test/fixtures/images/generate.py
  const sizes = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as Record<string, number[] | null>;
  const expected = readFileSync(join(fixtures, 'expected.bin'));
  const bytes = 28 * 28 * 3;
  /** Most that a value differs: ordinary JPEGs by 3, what libvips resizes by 1, all others are bit for bit PIL's. */
  const most = { colour: 3, portrait: 3, small: 3, rotated: 3, 'grey.': 1, 'png-inside': 1, palette: 1, trailing: 1 };
  const mostOf = (name: string): number => Object.entries(most).find(([prefix]) => name.startsWith(prefix))?.[1] ?? 0;

  Object.keys(sizes).forEach((name) => {
    const interpolation = name.endsWith('.bicubic') ? 'bicubic' : 'bilinear';
    const content = readFileSync(join(fixtures, name.replace('.bicubic', '')));
    if (sizes[name] === null) {
      it(`refuses ${name}, as PIL does`, async () => {
        const error = await decodeImage(content, { ...small, interpolation }).catch((reason: unknown) => reason);
        expect(error).to.be.instanceOf(Error);
      });
      return;
    }
    const start =
      bytes *
      Object.keys(sizes)
        .filter((key) => sizes[key] !== null)
        .indexOf(name);
    it(`makes of ${name} what torchvision makes of it`, async () => {
      const found = await decodeImage(content, { ...small, interpolation });
      const differs = difference(found, expected.subarray(start, start + bytes));
      expect(differs.most).to.be.at.most(mostOf(name));
      expect(differs.mean).to.be.below(0.6);
    });
  });

  it('reads BMP, PPM and PGM, and turns a TIFF, as PIL does', async () => {
    const [width, height] = [20, 16]; // they grow: bit for bit
    const rgb = Buffer.from(Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256));
    const image = () => sharp(rgb, { raw: { width, height, channels: 3 } });
    const rows = Array.from({ length: height }, (_, y) => rgb.subarray(y * width * 3, (y + 1) * width * 3));
    const bgr = (lines: readonly Buffer[]) => Buffer.concat(lines.map((row) => Buffer.from(row).reverse()));
    const mirrored = await decodeImage(await image().flop().png().toBuffer(), small);
    expect(await decodeImage(bmp(width, height, 24, bgr([...rows].reverse())), small)).to.deep.equal(mirrored);
    // A negative height: the top row first.
    expect(await decodeImage(bmp(width, -height, 24, bgr(rows)), small)).to.deep.equal(mirrored);
    const plain = await decodeImage(await image().png().toBuffer(), small);
    const ppm = Buffer.concat([Buffer.from(`P6\n# by hand\n${width} ${height}\n255\n`), rgb]);
    expect(await decodeImage(ppm, small)).to.deep.equal(plain);
    const grey = await image().toColourspace('b-w').raw().toBuffer();
    const pgm = await decodeImage(Buffer.concat([Buffer.from(`P5 ${width} ${height} 255 `), grey]), small);
    expect(pgm).to.deep.equal(await decodeImage(await image().toColourspace('b-w').png().toBuffer(), small));
    for (const [bytes, message] of [
      [ppm.subarray(0, -1), /^truncated/],
      [Buffer.from('P5 1 1 65535 xx'), /^values up to 65535; valid: 255/],
    ] as const) {
      expect(String(await decodeImage(bytes, small).catch((error: Error) => error.message))).to.match(message);
    }
    const turned = await decodeImage(await image().rotate(90).png().toBuffer(), small);
    const oriented = image().withMetadata({ orientation: 6 });
    expect(await decodeImage(await oriented.tiff({ compression: 'lzw' }).toBuffer(), small)).to.deep.equal(turned);
    expect(await decodeImage(await oriented.png().toBuffer(), small)).to.deep.equal(plain);
  });

  it('gives blue, green, red where that is asked for', async () => {
    const content = readFileSync(join(fixtures, 'colour.jpg'));
    const [rgb, bgr] = await Promise.all([
      decodeImage(content, small),
      decodeImage(content, { ...small, order: 'bgr' }),
    ]);
    const plane = (image: Uint8Array, c: number): number[] => [...image.subarray(c * 784, (c + 1) * 784)];
    expect([0, 1, 2].map((c) => plane(bgr, c))).to.deep.equal([2, 1, 0].map((c) => plane(rgb, c)));
    expect(plane(rgb, 0)).to.not.deep.equal(plane(rgb, 2));
  });

  it("gives one channel by PIL's formula where the preprocessing has one mean", async () => {
    const content = readFileSync(join(fixtures, 'colour.jpg'));
    const geometry = geometryOf({ mean: [0.5], std: [0.5] }, small);
    const [rgb, grey] = await Promise.all([decodeImage(content, small), decodeImage(content, geometry)]);
    const wanted = Array.from({ length: 784 }, (_, i) => {
      return Math.floor((19595 * rgb[i]! + 38470 * rgb[784 + i]! + 7471 * rgb[2 * 784 + i]! + 32768) / 65536);
    });
    expect([...grey]).to.deep.equal(wanted);
    expect(geometryOf({ mean: [0, 0, 0] }, geometry).order).to.equal('rgb');
  });

  it('differs from torchvision by less than 0.5 of 255 on real photographs, 0.25 on average', async function () {
    if (!existsSync(sample) || !hasTorchvision()) return this.skip();
    const names = readdirSync(sample).filter((name) => name.endsWith('.JPEG'));
    expect(names).to.have.length(100);
    const reference = execFileSync(python, ['-c', program, sample, ...names], { maxBuffer: 2 ** 25 });
    const means = await Promise.all(
      names.map(async (name, i) => {
        const image = await decodeImage(readFileSync(join(sample, name)), usualGeometry);
        return difference(image, reference.subarray(i * image.length, (i + 1) * image.length)).mean;
      }),
    );
    expect(Math.max(...means)).to.be.below(0.5);
    expect(means.reduce((sum, mean) => sum + mean, 0) / means.length).to.be.below(0.25);
  });
});

const program = `
import sys
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize
t = Compose([Resize(256), CenterCrop(224)])
for name in sys.argv[2:]:
    sys.stdout.buffer.write(t(Image.open(sys.argv[1] + name).convert('RGB')).tobytes())
`;

function hasTorchvision(): boolean {
  try {
    execFileSync(python, ['-c', 'import torchvision'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('the fast decoder of JPEGs', () => {
  const read = (name: string): Buffer => readFileSync(join(fixtures, name));
  const takes = (bytes: Uint8Array): boolean => isOrdinary(bytes, jpegHeader(bytes)!);

  it('takes ordinary files that end as they should, and leaves all others to libvips', async () => {
    for (const name of ['colour.jpg', 'portrait.jpg', 'grey.jpg', 'rotated.jpg'])
      expect(takes(read(name)), name).to.equal(true);
    for (const name of ['truncated.jpg', 'trailing.jpg', 'cmyk.jpg']) expect(takes(read(name)), name).to.equal(false);
    expect(takes(await sharp(read('colour.jpg')).jpeg({ progressive: true }).toBuffer())).to.equal(false);
  });

  it('gives what libvips gives, within 3 of 255', async () => {
    const bytes = read('colour.jpg');
    const trailing = Buffer.concat([bytes, Buffer.from('left over')]);
    const [fast, slow] = [await decodeImage(bytes, small), await decodeImage(trailing, small)];
    expect(fast).to.not.deep.equal(slow);
    expect(Math.max(...fast.map((value, i) => Math.abs(value - slow[i]!)))).to.be.at.most(3);
  });

  it('hands on what it does not understand: libvips says what is wrong', async () => {
    const broken = Buffer.from(read('colour.jpg'));
    broken.fill(0xff, broken.indexOf(Buffer.of(0xff, 0xdb)) + 4, broken.indexOf(Buffer.of(0xff, 0xc0)));
    const error = await decodeImage(broken, small).catch((reason: unknown) => reason);
    expect(String(error)).to.match(/Vips|damaged or truncated/);
  });
});

describe('geometryOf', () => {
  it('takes what the preprocessing says, and the rest from the dataset', () => {
    expect(geometryOf({ resize: 232, crop: 224 }, usualGeometry)).to.deep.equal({ ...usualGeometry, resize: 232 });
    expect(geometryOf({}, usualGeometry)).to.deep.equal(usualGeometry);
    expect(geometryOf({ crop: 299 }, usualGeometry)).to.include({ resize: 299, crop: 299 });
    expect(geometryOf({ resize: 100 }, usualGeometry)).to.include({ resize: 100, crop: 100 });
  });

  it('refuses sizes that make no sense', () => {
    for (const sizes of [{ resize: 200, crop: 224 }, { resize: 0 }, { crop: 1.5 }, { resize: 5000 }]) {
      expect(() => geometryOf(sizes, usualGeometry)).to.throw(InputError, /valid: whole numbers from 1 to 4096/);
    }
  });
});

describe('placementOf', () => {
  it('is what torchvision computes', () => {
    // F.resize and F.center_crop of 0.14.1; (384 - 224) / 2, and halves rounded to even
    expect(placementOf(500, 333, usualGeometry)).to.deep.equal({ width: 384, height: 256, left: 80, top: 16 });
    expect(placementOf(500, 375, usualGeometry)).to.deep.equal({ width: 341, height: 256, left: 58, top: 16 });
    expect(placementOf(375, 500, usualGeometry)).to.deep.equal({ width: 256, height: 341, left: 16, top: 58 });
    expect(placementOf(300, 280, { ...usualGeometry, resize: 255 })).to.include({ width: 273, height: 255, top: 16 });
    expect(placementOf(80, 40, { ...usualGeometry, squash: true })).to.include({ width: 256, height: 256 });
  });
});

describe('jpegHeader', () => {
  it('reads the frame header past EXIF and the like', () => {
    const sizeOf = (name: string) => jpegHeader(readFileSync(join(fixtures, name)));
    const size = { width: 75, height: 50, precision: 8, baseline: true };
    expect(sizeOf('rotated.jpg')).to.deep.equal({ ...size, components: 3 });
    expect(sizeOf('grey.jpg')).to.deep.equal({ ...size, components: 1 });
    expect(sizeOf('cmyk.jpg')).to.deep.equal({ ...size, components: 4 });
  });

  it('knows what it cannot read', () => {
    for (const name of ['png-inside.jpg', 'not-an-image.jpg', 'empty.jpg']) {
      expect(jpegHeader(readFileSync(join(fixtures, name))), name).to.equal(undefined);
    }
    expect(jpegHeader(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))).to.equal(undefined);
    expect(jpegHeader(Uint8Array.of(0xff, 0xd8, 0xff, 0xff, 0xff, 0xff))).to.equal(undefined);
  });
});
