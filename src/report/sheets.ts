import type { ImageSheet } from './findings.js';
import { colours, type Font, loadFont, wrapText } from './theme.js';

type SheetRow = ImageSheet['rows'][number];
type SheetImage = SheetRow['images'][number];

/** Pixels of a sheet per pixel of the page, for sharp print. */
export const SHEET_DENSITY = 2;

// Pixels of the sheet.
const IMAGE = 128;
const MARGIN = 24;
const GAP = 16;
/** Most pixels of a line of images; more images continue below. */
const WIDTH = 2000;
const LABEL = { size: 26, line: 36 };
const CAPTION = { size: 20, line: 26, lines: 3 };

const tones: Readonly<Record<SheetImage['tone'], { readonly colour: string; readonly sign: string }>> = {
  right: { colour: colours.blue, sign: '✓ ' },
  wrong: { colour: colours.vermilion, sign: '✗ ' },
  plain: { colour: '#222222', sign: '' },
};

/** An image and its position in the sheet. */
interface PlacedImage {
  readonly x: number;
  readonly y: number;
  readonly image: SheetImage;
}

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly images: readonly PlacedImage[];
  /** SVG paths of all text. */
  readonly text: string;
}

/**
 * Draws a sheet as PNG: rows below their labels, captions below the images, in the colour and with the sign of their
 * tone. Small images are enlarged by whole factors without smoothing. The same sheet gives the same bytes.
 */
export async function renderPng(sheet: ImageSheet): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  const { width, height, images, text } = layOut(sheet, await loadFont());
  const page = new Uint8Array(width * height * 3).fill(255);
  for (const placed of images) draw(page, width, placed, await scaled(placed.image));
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${text}</svg>`;
  return await sharp(page, { raw: { width, height, channels: 3 } })
    .composite([{ input: Buffer.from(overlay) }])
    .removeAlpha()
    .png({ compressionLevel: 9, palette: false })
    .toBuffer();
}

function layOut(sheet: ImageSheet, font: Font): Layout {
  const images: PlacedImage[] = [];
  const text: string[] = [];
  const cell = Math.max(IMAGE, ...sheet.rows.flatMap((row) => row.images.map((image) => captionWidth(image, font))));
  const perLine = Math.max(1, Math.floor((WIDTH - 2 * MARGIN + GAP) / (cell + GAP)));
  let [width, y] = [2 * MARGIN + cell, MARGIN];
  for (const row of sheet.rows) {
    text.push(outline(font, row.label, LABEL.size, MARGIN, y + LABEL.size, '#222222'));
    width = Math.max(width, 2 * MARGIN + font.width(row.label, LABEL.size));
    y += LABEL.line;
    for (let start = 0; start < row.images.length; start += perLine) {
      const line = row.images.slice(start, start + perLine);
      const captions = line.map((image) => captionLines(image, cell, font));
      line.forEach((image, i) => {
        const x = MARGIN + i * (cell + GAP);
        images.push({ x, y, image });
        captions[i]!.forEach((words, below) => {
          const base = y + IMAGE + CAPTION.line * (below + 1);
          text.push(outline(font, words, CAPTION.size, x, base, tones[image.tone].colour));
        });
      });
      width = Math.max(width, 2 * MARGIN + line.length * (cell + GAP) - GAP);
      y += IMAGE + CAPTION.line * Math.max(...captions.map(({ length }) => length)) + GAP;
    }
    y += GAP;
  }
  return { width: Math.ceil(width), height: y + MARGIN - GAP, images, text: text.join('') };
}

/** Width of the longest word of a caption, at most 1.5 times the width of an image. */
function captionWidth({ caption, tone }: SheetImage, font: Font): number {
  const words = `${tones[tone].sign.trim()}${caption}`.split(/\s+/);
  const widest = Math.max(...words.map((word) => font.width(word, CAPTION.size)));
  return Math.min(Math.ceil(widest + 12), 1.5 * IMAGE);
}

/** At most three lines; longer text ends in an ellipsis. */
function captionLines({ caption, tone }: SheetImage, width: number, font: Font): string[] {
  const lines = wrapText(font, `${tones[tone].sign}${caption}`, CAPTION.size, width);
  const shown = lines.slice(0, CAPTION.lines).map((line) => shortened(font, line, width));
  if (lines.length > CAPTION.lines) shown[CAPTION.lines - 1] = shortened(font, `${shown.at(-1)}…`, width);
  return shown;
}

function shortened(font: Font, line: string, width: number): string {
  if (font.width(line, CAPTION.size) <= width) return line;
  let length = line.length - 1;
  while (length > 0 && font.width(`${line.slice(0, length)}…`, CAPTION.size) > width) length--;
  return `${line.slice(0, length)}…`;
}

function outline(font: Font, text: string, size: number, x: number, y: number, colour: string): string {
  return `<path fill="${colour}" d="${font.path(text, size, x, y)}"/>`;
}

/** An image of at most {@link IMAGE} pixels, RGB interleaved. */
interface Drawable {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] */
  readonly rgb: Uint8Array;
}

/** Planes as interleaved RGB, enlarged by a whole factor, or reduced if they are larger than their cell. */
async function scaled(image: SheetImage): Promise<Drawable> {
  const { width, height } = image;
  const longest = Math.max(width, height);
  if (longest <= IMAGE) return enlarged(image, Math.floor(IMAGE / longest));
  const { default: sharp } = await import('sharp');
  const [w, h] = [width, height].map((side) => Math.max(1, Math.round((side * IMAGE) / longest)));
  const source = sharp(enlarged(image, 1).rgb, { raw: { width, height, channels: 3 } });
  const { data } = await source.resize(w, h, { fit: 'fill' }).raw().toBuffer({ resolveWithObject: true });
  return { width: w!, height: h!, rgb: data };
}

/** [channels, height, width] to [height * factor, width * factor, 3] */
function enlarged({ pixels, channels, height, width }: SheetImage, factor: number): Drawable {
  const [w, h, plane] = [width * factor, height * factor, width * height];
  const rgb = new Uint8Array(w * h * 3);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const from = Math.floor(y / factor) * width + Math.floor(x / factor);
      const to = (y * w + x) * 3;
      for (let channel = 0; channel < 3; channel++) {
        rgb[to + channel] = pixels[(channels === 1 ? 0 : channel) * plane + from]!;
      }
    }
  }
  return { width: w, height: h, rgb };
}

function draw(page: Uint8Array, pageWidth: number, { x, y }: PlacedImage, { width, height, rgb }: Drawable): void {
  for (let row = 0; row < height; row++) {
    page.set(rgb.subarray(row * width * 3, (row + 1) * width * 3), ((y + row) * pageWidth + x) * 3);
  }
}
