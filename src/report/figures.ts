import type { ResizeOptions } from 'sharp';
import { markupText, visibleLines } from '../escape.js';
import type { Figure, ImageSheet, Picture } from './findings.js';
import { colours, type Font, loadFont, theme, wrapText } from './theme.js';

/** A bold letter is at most so much wider than a plain one. */
const BOLD = 1.14;
/** Most pixels in a line of the title. */
const TITLE_WIDTH = 560;

/**
 * Draws a figure as SVG in the theme of the report, without a browser. The same figure gives the same bytes.
 *
 * @param warn receives Vega's warnings
 * @throws Error if the specification refers to external data
 */
export async function renderSvg(figure: Figure, warn: (message: string) => void = () => {}): Promise<string> {
  // Loaded on use: both are large.
  const [{ compile }, vega, font] = await Promise.all([import('vega-lite'), import('vega'), loadFont()]);
  // Vega's types omit it.
  const { textMetrics } = vega as object as { textMetrics: { width(item: TextItem, text?: unknown): number } };
  textMetrics.width = (item, text) => textWidth(font, item, text);
  const logger = vega.logger(vega.Warn, undefined, (_method, _level, messages) => {
    warn(`figure ${figure.name}: ${Array.from(messages).join(' ')}`);
  });
  const title = { text: wrapText(font, figure.title, 15 * BOLD, TITLE_WIDTH) };
  const { spec } = compile({ title, ...figure.spec }, { config: theme, logger });
  let asked: string | undefined;
  const refuse = (address: string): Promise<never> => {
    asked ??= address;
    return Promise.reject(new Error('external data are not loaded'));
  };
  const loader = { load: refuse, sanitize: refuse, http: refuse, file: refuse };
  const view = new vega.View(vega.parse(spec), { renderer: 'none', logger, loader });
  try {
    const svg = await view.toSVG();
    if (asked !== undefined)
      throw new Error(`figure ${figure.name} refers to ${asked}; valid: data inside the specification`);
    return named(visibleLines(svg), figure);
  } finally {
    view.finalize();
  }
}

/** Width of a text mark. Without a canvas, Vega's own estimate is far off. */
function textWidth(font: Font, item: TextItem, text?: unknown): number {
  const line = String(text ?? item.text ?? '');
  const weight = item.fontWeight === 'bold' || Number(item.fontWeight) >= 600 ? BOLD : 1;
  const width = weight * font.width(line, item.fontSize ?? 11);
  return item.limit !== undefined && item.limit > 0 ? Math.min(width, item.limit) : width;
}

interface TextItem {
  readonly text?: unknown;
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
  /** Most pixels. */
  readonly limit?: number;
}

/** Adds a title for screen readers, makes all ids unique on a page, and draws rectangles without seams. */
function named(svg: string, { name, title }: Figure): string {
  // Vega numbers ids across figures.
  const ids = [...new Set([...svg.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id!))];
  const unique = new Map(ids.map((id, i) => [id, `${name}-${i + 1}`]));
  return svg
    .replaceAll(/\bid="([^"]+)"/g, (_, id: string) => `id="${unique.get(id)}"`)
    .replaceAll(/url\(#([^)]+)\)/g, (_, id: string) => `url(#${unique.get(id)})`)
    .replaceAll('<g class="mark-rect role-mark', '<g shape-rendering="crispEdges" class="mark-rect role-mark')
    .replace(/<svg [^>]*>/, (open) => {
      return `${open.replace('<svg ', '<svg role="img" ')}<title>${markupText(title)}</title>`;
    });
}

type SheetImage = ImageSheet['rows'][number]['images'][number];

/** Pixels of a sheet per pixel of the page, for sharp print. */
export const SHEET_DENSITY = 2;

// Pixels of the sheet.
const IMAGE = 128;
const MARGIN = 24;
const GAP = 16;
/** Longer lines of images continue below. */
const WIDTH = 2000;
const LABEL = { size: 26, line: 36 };
const CAPTION = { size: 20, line: 26, lines: 3 };

const tones: Readonly<Record<SheetImage['tone'], { readonly colour: string; readonly sign: string }>> = {
  right: { colour: colours.blue, sign: '✓ ' },
  wrong: { colour: colours.vermilion, sign: '✗ ' },
  plain: { colour: '#222222', sign: '' },
};

/**
 * Draws a sheet as PNG: a label above each row, and below each image its caption in the colour and with the sign of its
 * tone. Small images are enlarged by whole factors without smoothing. The same sheet gives the same bytes.
 */
export async function renderPng(sheet: ImageSheet): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  const { width, height, images, text } = layOut(sheet, await loadFont());
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${text}</svg>`;
  const placed = await Promise.all(
    images.map(async ({ x, y, image }) => ({ ...(await scaled(image)), left: x, top: y })),
  );
  return await sharp({ create: { width, height, channels: 3, background: 'white' } })
    .composite([...placed, { input: Buffer.from(overlay) }])
    .removeAlpha()
    .png({ compressionLevel: 9, palette: false })
    .toBuffer();
}

/** Positions of all images, and the SVG paths of all text. */
function layOut(sheet: ImageSheet, font: Font) {
  const images: { readonly x: number; readonly y: number; readonly image: SheetImage }[] = [];
  const paths: string[] = [];
  const write = (text: string, size: number, x: number, y: number, colour: string): void => {
    paths.push(`<path fill="${colour}" d="${font.path(text, size, x, y)}"/>`);
  };
  const cell = Math.max(IMAGE, ...sheet.rows.flatMap((row) => row.images.map((image) => captionWidth(image, font))));
  const perLine = Math.max(1, Math.floor((WIDTH - 2 * MARGIN + GAP) / (cell + GAP)));
  let [width, y] = [2 * MARGIN + cell, MARGIN];
  for (const row of sheet.rows) {
    write(row.label, LABEL.size, MARGIN, y + LABEL.size, '#222222');
    width = Math.max(width, 2 * MARGIN + font.width(row.label, LABEL.size));
    y += LABEL.line;
    for (let start = 0; start < row.images.length; start += perLine) {
      const line = row.images.slice(start, start + perLine);
      const captions = line.map((image) => captionLines(image, cell, font));
      for (const [i, image] of line.entries()) {
        const x = MARGIN + i * (cell + GAP);
        images.push({ x, y, image });
        captions[i]!.forEach((words, below) => {
          write(words, CAPTION.size, x, y + IMAGE + CAPTION.line * (below + 1), tones[image.tone].colour);
        });
      }
      width = Math.max(width, 2 * MARGIN + line.length * (cell + GAP) - GAP);
      y += IMAGE + CAPTION.line * Math.max(...captions.map(({ length }) => length)) + GAP;
    }
    y += GAP;
  }
  return { width: Math.ceil(width), height: y + MARGIN - GAP, images, text: paths.join('') };
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

/** An image enlarged by a whole factor, or reduced to its cell, for `composite`. */
async function scaled(image: SheetImage) {
  const longest = Math.max(image.width, image.height);
  const isSmall = longest <= IMAGE;
  const factor = isSmall ? Math.floor(IMAGE / longest) : IMAGE / longest;
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * factor)));
  return tileOf(image, { width, height, fit: 'fill', kernel: isSmall ? 'nearest' : 'lanczos3' });
}

/** A resized image for `composite`. @param image pixels [channels, height, width], grey or RGB */
export async function tileOf(image: Picture, size: ResizeOptions) {
  const { default: sharp } = await import('sharp');
  const { pixels, height, width } = image;
  const channels = image.channels === 1 ? 1 : 3;
  const plane = height * width;
  const interleaved = Buffer.alloc(plane * channels);
  for (let p = 0; p < plane; p++) {
    for (let c = 0; c < channels; c++) interleaved[p * channels + c] = pixels[c * plane + p]!;
  }
  const { data: input, info } = await sharp(interleaved, { raw: { width, height, channels } })
    .resize(size)
    .raw() // no compression: `composite` decodes it at once
    .toBuffer({ resolveWithObject: true });
  return { input, raw: info };
}
