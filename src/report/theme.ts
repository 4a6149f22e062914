import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Glyph } from 'fontkitten';
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

const fontFamily = 'Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif';

const ink = '#222222';
const rule = '#767676';
const grid = '#e4e4e4';

/**
 * The theme of all figures. Lines also differ in `strokeDash`, points in `shape`, for grey print. Continuous colour is
 * cividis, designed for colour-blind readers.
 */
export const theme: Config = {
  aria: false, // title and caption describe the figure; labels on thousands of marks do not help
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
 * DejaVu Sans from npm draws image sheets alike on all machines and measures text in figures. It is wider than browsers'
 * sans-serif fonts: text that fits here fits there.
 */
export interface Font {
  /** Width in pixels. */
  width(text: string, size: number): number;
  /** Outlines as an SVG path from x on the base line y. */
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

/** The style of pages, for screen and print. Verdicts differ in sign and words, not only in colour. */
export const pageStyle = `
:root { color-scheme: light dark; --ink: #1c1c1c; --dim: #595959; --rule: #d4d4d4; --shade: #f5f6f8; --paper: white; --link: ${colours.blue}; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --dim: #a8a8a8; --rule: #444; --shade: #24262a; --paper: #17181b; --link: ${colours.sky}; }
  figure svg, figure img { background: white; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 2.5rem 4rem; max-width: 1240px; color: var(--ink); background: var(--paper);
  font: 15px/1.5 ${fontFamily}; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .35rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .7rem; padding-top: .5rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
p { margin: .4rem 0; max-width: 85ch; }
.dim, figcaption { color: var(--dim); }
.gate { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .8rem; margin: .3rem 0; }
.gate > span { min-width: 5.5rem; } .gate input[type=range] { flex: 1 1 12rem; min-width: 9rem; } .gate output { min-width: 7rem; }
.gate input[type=number] { width: 8rem; } #explorer-lost { width: 5rem; }
.explorer select, .explorer input, .explorer button { font: inherit; color: inherit; background: var(--paper); border: 1px solid #8a8a8a;
  border-radius: 4px; padding: .15rem .4rem; max-width: 100%; }
.explorer .result { font-weight: 600; } .message { overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; align-items: flex-start; } .pictures > div { flex: 1 1 20rem; min-width: 0; }
.pictures svg { width: 100%; max-width: 480px; font-size: 12px; fill: var(--ink); }
.grid { stroke: var(--rule); } .frontier { fill: none; stroke: ${colours.blue}; stroke-width: 2; }
.original { stroke: var(--ink); stroke-width: 2; } .here { fill: ${colours.vermilion}; stroke: var(--paper); stroke-width: 2; }
.confusion { font-size: .74rem; } .confusion th, .confusion td { padding: .1rem .35rem; border: 1px solid var(--rule); }
.confusion td { background: rgb(213 94 0 / calc(var(--share, 0) * .6)); } .confusion td.right { background: rgb(0 158 115 / .2); }
.sides { display: grid; grid-template-columns: 5.5rem 1fr 1fr; gap: .2rem .8rem; align-items: center; margin: .4rem 0; }
.side { display: flex; flex-wrap: wrap; gap: .25rem; align-items: center; } .side > .dim { width: 100%; font-size: .85em; }
.shown { display: inline-flex; flex-direction: column; align-items: center; font-size: .75em; line-height: 1.1; }
.thumb { display: inline-block; background-image: var(--sheet); border: 2px solid; border-radius: 2px; }
.thumb.right { border-color: ${colours.green}; } .thumb.wrong { border-color: ${colours.vermilion}; }
nav { margin-top: .8rem; font-size: .9rem; }
nav a { color: var(--link); margin-right: 1.1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .65rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid #8a8a8a; }
th:first-child, td:first-child, .text th, .text td { text-align: left; }
td:first-child, .results td, .results th { white-space: nowrap; }
.text td { white-space: normal; }
tr.paper td { color: var(--dim); background: var(--shade); font-style: italic; }
.claims { width: 100%; }
.claims td:first-child { width: 10.5rem; }
.badge { display: inline-block; white-space: nowrap; padding: .05rem .5rem; border: 1.5px solid; border-radius: 1rem;
  font-size: .92em; font-weight: 600; }
.holds { color: #00543c; border-color: ${colours.green}; background: #e6f5f0; }
.does-not-hold { color: #8a3d00; border-color: ${colours.vermilion}; background: #fdeee4; }
.undecided { color: #00446a; border-color: ${colours.blue}; background: #e8f2f9; border-style: dashed; }
.cannot-be-checked-here { color: var(--dim); border-color: #8a8a8a; background: var(--shade); border-style: dotted; }
.why { color: var(--dim); font-size: .92em; }
.trace { font-size: .92em; min-width: 8.5em; } .trace code { overflow-wrap: normal; white-space: nowrap; }
.many { font-size: .76rem; } .many th, .many td { padding: .3rem .4rem; }
.word { text-align: left; white-space: nowrap; }
figure { margin: 1.2rem 0 1.8rem; }
figure svg, figure img { display: block; max-width: 100%; height: auto; }
figcaption { margin-top: .4rem; max-width: 100ch; font-size: .88rem; }
code { font: .86em/1.4 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { padding: .8rem 1rem; overflow-x: auto; background: var(--shade); border: 1px solid var(--rule); border-radius: 4px; }
pre code { overflow-wrap: normal; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .25rem 1.4rem; margin: 0; }
.facts dt { font-weight: 600; } .facts dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) { body { padding: 1rem 1rem 3rem; } .facts, .sides { grid-template-columns: minmax(0, 1fr); } }
@media print {
  section:has(#thresholds) { display: none; }
  @page { size: A4; margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2 { margin-top: 1.4rem; } h2, h3 { break-after: avoid; }
  table { font-size: 7.4pt; } .many { font-size: 6pt; } th, td { padding: .2rem .38rem; }
  tr, figure, .facts > * { break-inside: avoid; } thead { display: table-header-group; }
  figure svg, figure img { max-height: 235mm; width: auto; }
  .claims td:first-child { width: auto; }
  .wide, pre { overflow: visible; } pre, pre code { white-space: pre-wrap; overflow-wrap: anywhere; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
