import { expect } from 'chai';
import sharp from 'sharp';
import { renderPng } from '../../src/report/figures.js';
import type { ImageSheet } from '../../src/report/findings.js';

type Image = ImageSheet['rows'][number]['images'][number];

/** An image of one colour with a white pixel in its first corner. */
function image(size: number, colour: readonly number[], change: Partial<Image> = {}): Image {
  const pixels = new Uint8Array(colour.length * size * size);
  for (const [channel, value] of colour.entries())
    pixels.fill(value, channel * size * size, (channel + 1) * size * size);
  for (let channel = 0; channel < colour.length; channel++) pixels[channel * size * size] = 255;
  return { pixels, channels: colour.length, height: size, width: size, caption: 'cat', tone: 'right', ...change };
}

const sheetOf = (...images: Image[]): ImageSheet => ({
  name: 'examples',
  title: 'Examples',
  caption: '',
  rows: [{ label: 'cat, classified', images }],
});

/** Numbers of pixels by colour. */
function colours(png: Picture): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i < png.data.length; i += 4) {
    const colour = [...png.data.subarray(i, i + 3)].join();
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  return counts;
}

/** Decoded, four bytes a pixel. */
interface Picture {
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
}

async function decode(sheet: ImageSheet): Promise<Picture> {
  const { data, info } = await sharp(await renderPng(sheet))
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

describe('renderPng', () => {
  it('enlarges small images by a whole factor, pixel for pixel', async () => {
    const png = await decode(sheetOf(image(32, [10, 20, 30])));
    expect(colours(png).get('10,20,30')).to.equal(128 * 128 - 4 * 4); // 4 times as wide and high
  });

  it('draws captions in the colour of their tone, with letters that need no installed font', async () => {
    for (const [tone, colour] of [
      ['right', '0,114,178'],
      ['wrong', '213,94,0'],
      ['plain', '34,34,34'],
    ] as const) {
      const counts = colours(await decode(sheetOf(image(32, [200, 200, 200], { tone }))));
      expect(counts.get(colour), tone).to.be.above(20);
    }
  });

  it('draws grey images grey and makes large ones smaller', async () => {
    const png = await decode(sheetOf(image(300, [90])));
    const grey = colours(png).get('90,90,90') ?? 0;
    expect(grey).to.be.within(120 * 120, 128 * 128);
  });

  it('continues a full row on another line, and leaves room for long captions', async () => {
    const many = Array.from({ length: 20 }, () =>
      image(32, [1, 2, 3], { caption: 'a caption of several words, no end' }),
    );
    const one = await decode(sheetOf(many[0]!));
    const wide = await decode(sheetOf(...many));
    expect(wide.width).to.be.at.most(2000);
    expect(wide.height).to.be.above(1.7 * one.height - 60);
    expect(colours(wide).get('1,2,3')).to.equal(20 * (128 * 128 - 16));
  });

  it('gives the same bytes again', async () => {
    const sheet = sheetOf(image(32, [10, 20, 30]), image(8, [9]));
    expect(Buffer.compare(await renderPng(sheet), await renderPng(sheet))).to.equal(0);
  });
});
