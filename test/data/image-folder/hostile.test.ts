import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { expect } from 'chai';
import sharp from 'sharp';
import { decodeImage } from '../../../src/data/image-folder/decode.js';
import { imageFolderDataset, unreadableIn } from '../../../src/data/image-folder/index.js';
import { chunk } from '../../fuzz/png.js';
import { processorMs } from '../../processorTime.js';
import { rejection } from '../smallCifar10.js';
import { bmp } from './bmp.js';

const geometry = { resize: 32, crop: 28, interpolation: 'bilinear', squash: false, order: 'rgb' } as const;

/** A PNG that declares a size and holds what it is given. */
function png(width: number, height: number, content: Uint8Array, depth = 8, colour = 2): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colour, 0, 0, 0], 8);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  const data = chunk('IDAT', deflateSync(content));
  return Buffer.concat([signature, chunk('IHDR', header), data, chunk('IEND', new Uint8Array())]);
}

/** How an image is refused, how many ms of the processor that takes, and by how many MB memory grows. */
async function refused(bytes: Uint8Array): Promise<{ message: string; ms: number; mb: number }> {
  const before = process.memoryUsage.rss();
  let message = '';
  const ms = await processorMs(async () => {
    message = (await rejection(decodeImage(bytes, geometry))).message;
  });
  return { message, ms, mb: (process.memoryUsage.rss() - before) / 1e6 };
}

describe('hostile images', () => {
  const bombs: [string, () => Buffer][] = [
    ['20,000 x 20,000 pixels', () => png(20_000, 20_000, new Uint8Array(1_000_000))],
    ['2^31 - 1 pixels square', () => png(2 ** 31 - 1, 2 ** 31 - 1, new Uint8Array(100))],
    ['a million pixels in a line', () => png(1_000_000, 50, new Uint8Array(1_000_000))],
    ['8000 x 8000 pixels of 64 bits', () => png(8000, 8000, new Uint8Array(1_000_000), 16, 6)],
    [
      'a BMP of 2^31 - 1 pixels square',
      () => Buffer.from(`BM${'\0'.repeat(12)}(\0\0\0${'\xff\xff\xff\x7f'.repeat(2)}`, 'latin1'),
    ],
    ['a BMP of 60,000 x 60,000 pixels', () => bmp(60_000, 60_000, 8, Buffer.of(0, 1), 1)],
  ];
  for (const [what, make] of bombs) {
    it(`${what} in some hundred bytes: refused before they are made`, async () => {
      const bytes = make();
      expect(bytes.length).to.be.below(3000);
      const { message, ms, mb } = await refused(bytes);
      expect(message).to.match(/exceeds pixel limit|at most 65535 on a side|exceeds|corrupt header/);
      expect(ms).to.be.below(1000);
      expect(mb).to.be.below(100);
    });
  }

  it('a JPEG whose header promises more than is allowed is refused', async () => {
    const small = await sharp({ create: { width: 32, height: 32, channels: 3, background: 'red' } })
      .jpeg()
      .toBuffer();
    const at = small.indexOf(Buffer.of(0xff, 0xc0)) + 5;
    small.writeUInt16BE(65_500, at);
    small.writeUInt16BE(65_500, at + 2);
    expect((await refused(small)).message).to.match(/exceeds pixel limit|at most 65535/);
  });

  it('pixels that are declared and missing are an error, not black', async () => {
    const { message, ms } = await refused(png(6000, 6000, new Uint8Array(6001)));
    expect(message).to.match(/./);
    expect(ms).to.be.below(5000);
  });

  const others: [string, string][] = [
    ['SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>'],
    [
      'SVG that reads a file',
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="/etc/passwd"/></svg>',
    ],
    [
      'SVG of entities in entities',
      '<?xml version="1.0"?><!DOCTYPE s [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg"><text>&b;</text></svg>',
    ],
    ['PDF', '%PDF-1.4\n1 0 obj\n<<>>\nendobj\n'],
    ['HDR', '#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n'],
    ['ASCII PPM', 'P3\n1 1\n255\n0 0 0\n'],
  ];
  for (const [what, content] of others) {
    it(`${what} is no image, whatever its name`, async () => {
      expect((await refused(Buffer.from(content))).message).to.match(
        /^not a JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM file/,
      );
    });
  }

  it('AVIF is no image either', async () => {
    const avif = await sharp({ create: { width: 16, height: 16, channels: 3, background: 'red' } })
      .avif()
      .toBuffer();
    expect((await refused(avif)).message).to.match(/^not a JPEG, PNG, WebP, TIFF, GIF, BMP, PPM or PGM file/);
  });
});

describe('hostile folders of images', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dgate-folder-'));
    const image = await sharp({ create: { width: 40, height: 40, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    for (const name of ['a', 'b']) {
      await mkdir(join(folder, name));
      for (const file of ['1.png', '2.png', '3.png']) await writeFile(join(folder, name, file), image);
    }
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** What cannot be read of the folder, without its path. */
  async function unreadable(): Promise<string[]> {
    const dataset = imageFolderDataset(folder, { preprocess: 'torchvision' });
    const found = await Promise.all([dataset.load('', 'train'), dataset.load('', 'test')]);
    return (await Promise.all(found.map((source) => unreadableIn(source))))
      .flat()
      .map((line) => line.replace(`${folder}/`, ''))
      .sort();
  }

  it('pipes and devices are no images, and nobody waits for them', async function () {
    if (process.platform === 'win32') return this.skip();
    execFileSync('mkfifo', [join(folder, 'a/pipe.png')]);
    await symlink(join(folder, 'a/pipe.png'), join(folder, 'a/to-pipe.png'));
    await symlink('/dev/zero', join(folder, 'a/zero.png'));
    await symlink('/dev/random', join(folder, 'b/random.jpg'));
    expect(await unreadable()).to.deep.equal([]);
  });

  it('a link that leads nowhere, or to itself, is named', async () => {
    await symlink(join(folder, 'nothing'), join(folder, 'b/gone.png'));
    expect(await unreadable()).to.deep.equal(['b/gone.png: empty, or a link to nothing']);
    await rm(join(folder, 'b/gone.png'));
  });

  it('a file of a terabyte of nothing is named, not read', async () => {
    const file = await open(join(folder, 'b/hole.png'), 'w');
    await file.truncate(2 ** 40);
    await file.close();
    const before = process.memoryUsage.rss();
    expect(await unreadable()).to.deep.equal(['b/hole.png: more than 268435456 bytes']);
    expect(process.memoryUsage.rss() - before).to.be.below(100e6);
    await rm(join(folder, 'b/hole.png'));
  });

  it('names with line breaks and escape sequences are named in one line', async () => {
    const name = 'x\n\u001b[2J.png';
    await writeFile(join(folder, 'b', name), 'no image');
    const error = await rejection(imageFolderDataset(folder, { preprocess: 'torchvision' }).verify(''));
    expect(error.message)
      .to.match(/b\/x\\n\\u001b\[2J\.png: /)
      .and.not.to.contain('\n');
    expect(error.message).not.to.contain('\u001b');
    await rm(join(folder, 'b', name));
  });
});
