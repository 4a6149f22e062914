import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Config } from 'vega-lite';

/** Colours of Okabe and Ito (2008) for colour-blind readers, without yellow, which is too light on white. */
export const colours = {
  blue: '#0072B2',
  vermilion: '#D55E00',
  green: '#009E73',
  purple: '#CC79A7',
  orange: '#E69F00',
  sky: '#56B4E9',
  black: '#000000',
} as const;

export const fontFamily = 'Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif';

const ink = '#222222';
const rule = '#767676';
const grid = '#e4e4e4';

/**
 * The theme of all figures. Lines also differ in `strokeDash`, points in `shape`, for grey print. Continuous colour is
 * cividis, designed for colour-blind readers.
 */
export const theme: Config = {
  aria: false, // title and caption describe the figure; labels on thousands of marks would not help
  background: 'white',
  padding: 12,
  font: fontFamily,
  view: { stroke: null, continuousWidth: 520, continuousHeight: 320, discreteWidth: { step: 32 } },
  title: { anchor: 'start', fontSize: 15, fontWeight: 'bold', color: ink, offset: 14, subtitleFontSize: 12 },
  axis: {
    labelFontSize: 12,
    titleFontSize: 13,
    titleFontWeight: 'normal',
    titlePadding: 10,
    labelColor: ink,
    titleColor: ink,
    domainColor: rule,
    tickColor: rule,
    gridColor: grid,
    labelLimit: 240,
  },
  axisXQuantitative: { tickCount: 8 },
  axisYQuantitative: { tickCount: 8 },
  legend: {
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'bold',
    labelColor: ink,
    titleColor: ink,
    labelLimit: 320,
    titleLimit: 320,
    symbolSize: 90,
    symbolOpacity: 1,
    symbolStrokeWidth: 2,
  },
  header: { labelFontSize: 13, titleFontSize: 13, labelColor: ink, titleColor: ink, titleFontWeight: 'normal' },
  line: { strokeWidth: 2 },
  point: { size: 60, strokeWidth: 2, filled: false },
  bar: { fill: colours.blue },
  rule: { color: rule },
  text: { fontSize: 12, color: ink },
  range: {
    category: Object.values(colours),
    ramp: { scheme: 'cividis' },
    heatmap: { scheme: 'cividis' },
    symbol: ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down', 'stroke'],
  },
};

/**
 * DejaVu Sans from npm: draws image sheets alike everywhere and measures text in figures. It is wider than browsers'
 * sans-serif fonts, so text that fits in it fits in them.
 */
export interface Font {
  /** Width in pixels. */
  width(text: string, size: number): number;
  /** Outlines as an SVG path from x on the baseline y. */
  path(text: string, size: number, x: number, y: number): string;
}

let loaded: Promise<Font> | undefined;

/** The font, read on first use. */
export const loadFont = (): Promise<Font> => {
  loaded ??= read();
  return loaded;
};

async function read(): Promise<Font> {
  const { create } = await import('fontkitten');
  // Not the .woff file: fontkitten would decompress a whole table for every letter.
  const name = '@fontsource/dejavu-sans/files/dejavu-sans-latin-400-normal.woff2';
  const file = createRequire(import.meta.url).resolve(name);
  const font = create(await readFile(file));
  if ('fonts' in font) throw new Error(`${file}: a font collection; valid: a single font`);
  return {
    width: (text, size) =>
      (font.glyphsForString(text).reduce((sum, { advanceWidth }) => sum + advanceWidth, 0) * size) / font.unitsPerEm,
    path(text, size, x, y) {
      const scale = size / font.unitsPerEm;
      let at = x;
      return font
        .glyphsForString(text)
        .map((glyph) => {
          const outline = glyph.path.scale(scale, -scale).translate(at, y).toSVG();
          at += glyph.advanceWidth * scale;
          return outline;
        })
        .join('');
    },
  };
}

/** Breaks text between words into lines of at most `width` pixels; a longer word gets its own line. */
export function wrapText(font: Font, text: string, size: number, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && font.width(longer, size) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
