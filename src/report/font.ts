import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Glyph } from 'fontkitten';

/**
 * A font from npm (DejaVu Sans): image sheets are drawn with it, so that they look the same on every machine, and text
 * in figures is measured with it. It is wider than the sans-serif fonts of browsers, so text that fits here fits there.
 */
export interface Font {
  /** Width in pixels. */
  width(text: string, size: number): number;
  /** The outlines as an SVG path that starts at x on the base line y. */
  path(text: string, size: number, x: number, y: number): string;
}

let loaded: Promise<Font> | undefined;

/** The font, read on first use. */
export function loadFont(): Promise<Font> {
  loaded ??= read();
  return loaded;
}

async function read(): Promise<Font> {
  const { create } = await import('fontkitten');
  const file = createRequire(import.meta.url).resolve(
    '@fontsource/dejavu-sans/files/dejavu-sans-latin-400-normal.woff',
  );
  const parsed = create(await readFile(file));
  if ('fonts' in parsed) throw new Error(`${file}: a font collection; valid: a single font`);
  const known = new Map<string, Glyph>();
  const glyphs = (text: string): Glyph[] =>
    Array.from(text, (character) => {
      const glyph = known.get(character) ?? parsed.glyphsForString(character)[0]!;
      known.set(character, glyph);
      return glyph;
    });
  return {
    width: (text, size) =>
      (glyphs(text).reduce((sum, { advanceWidth }) => sum + advanceWidth, 0) * size) / parsed.unitsPerEm,
    path(text, size, x, y) {
      const scale = size / parsed.unitsPerEm;
      let at = x;
      return glyphs(text)
        .map((glyph) => {
          const outline = glyph.path.scale(scale, -scale).translate(at, y).toSVG();
          at += glyph.advanceWidth * scale;
          return outline;
        })
        .join('');
    },
  };
}

/** Breaks text between words into lines of at most `width` pixels; a longer word gets a separate line. */
export function wrapText(font: Font, text: string, size: number, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && font.width(longer, size) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
