import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { decodeImage } from '../../../src/data/image-folder/decode.js';
import { type Geometry, geometryOf, placementOf } from '../../../src/data/image-folder/geometry.js';
import { usualGeometry } from '../../../src/data/image-folder/index.js';
import { jpegSize } from '../../../src/data/image-folder/jpeg-header.js';
import { InputError } from '../../../src/errors.js';

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
  /** Resized by libvips; all others bit for bit as PIL does it. */
  const shrunk = ['colour', 'portrait', 'grey.', 'rotated', 'png-inside', 'palette', 'trailing'];

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
      const { mean, most } = difference(found, expected.subarray(start, start + bytes));
      expect(most).to.be.at.most(shrunk.some((prefix) => name.startsWith(prefix)) ? 1 : 0);
      expect(mean).to.be.below(0.5);
    });
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

  it('differs from torchvision by less than 0.3 of 255 on real photographs', async function () {
    this.timeout(120_000);
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
    expect(Math.max(...means)).to.be.below(0.3);
    expect(Math.min(...means)).to.equal(0); // images that grow are resized by resample.ts
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

describe('jpegSize', () => {
  it('reads the frame header past EXIF and the like', () => {
    const sizeOf = (name: string) => jpegSize(readFileSync(join(fixtures, name)));
    expect(sizeOf('rotated.jpg')).to.deep.equal({ width: 75, height: 50, components: 3 });
    expect(sizeOf('grey.jpg')).to.deep.equal({ width: 75, height: 50, components: 1 });
    expect(sizeOf('cmyk.jpg')).to.deep.equal({ width: 75, height: 50, components: 4 });
  });

  it('knows what it cannot read', () => {
    for (const name of ['png-inside.jpg', 'not-an-image.jpg', 'empty.jpg']) {
      expect(jpegSize(readFileSync(join(fixtures, name))), name).to.equal(undefined);
    }
    expect(jpegSize(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))).to.equal(undefined);
    expect(jpegSize(Uint8Array.of(0xff, 0xd8, 0xff, 0xff, 0xff, 0xff))).to.equal(undefined);
  });
});
