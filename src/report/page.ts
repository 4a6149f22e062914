import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { markupText, visibleLines } from '../escape.js';
import { counted } from '../json.js';
import { projectRoot } from '../project.js';
import { readRegularSync } from '../store/input.js';
import type { ExplorerData } from './explorer.js';
import { SHEET_DENSITY } from './figures.js';
import { type Claim, type Figure, type FindingTable, findingCells, type ImageSheet, type Verdict } from './findings.js';
import type { TableLine } from './table.js';
import { colours, fontFamily } from './theme.js';

/** Content of a run's page. */
export interface Page {
  readonly title: string;
  readonly experiment: string;
  readonly preset: string;
  /** Creates the page: `dgate run table1`. */
  readonly command: string;
  /** Date and time, ISO 8601. */
  readonly date: string;
  readonly results?: { readonly head: readonly string[]; readonly lines: readonly TableLine[] };
  readonly claims: readonly Claim[];
  readonly figures: readonly { readonly figure: Figure; readonly svg: string }[];
  readonly sheets: readonly { readonly sheet: ImageSheet; readonly png: Uint8Array }[];
  readonly tables: readonly FindingTable[];
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** Seconds of each stage: in this run, and when its cached results were computed. */
  readonly stages: readonly { readonly name: string; readonly now: number; readonly computed: number | null }[];
  /** The resolved definition as JSON text. */
  readonly definition: string;
  /** Data and script for moving the thresholds. */
  readonly explorer?: { readonly data: ExplorerData; readonly script: string };
}

/** Most rows of a table on a page; the CSV has all. */
const MOST_ROWS = 60;
/** Tables with more columns have smaller text. */
const MANY_COLUMNS = 10;

/** The page loads nothing and runs only this script. */
function policy(script: string | undefined): string {
  const only =
    script === undefined ? '' : `; script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'`;
  return `default-src 'none'; style-src 'unsafe-inline'; img-src data:${only}`;
}

/** `data/page.css` with the font and colours of the figures. */
function pageStyle(): string {
  const shared = Object.entries({ font: fontFamily, ...colours }).map(([name, value]) => `--${name}: ${value};`);
  const css = readRegularSync(fileURLToPath(new URL('data/page.css', projectRoot))).toString('utf8');
  return `:root { ${shared.join(' ')} }\n${css}`;
}

/** A run as one self-contained HTML page. */
export function renderPage(page: Page): string {
  const parts: readonly (readonly [id: string, title: string, content: readonly Html[]])[] = [
    ['results', 'Results', page.results ? [resultsTable(page.results)] : []],
    ['thresholds', 'Move the thresholds', page.explorer ? [explorerPlace(page.explorer.data)] : []],
    ['claims', 'Verdicts on the paper’s claims', page.claims.length > 0 ? [claimsTable(page.claims)] : []],
    ['figures', 'Figures', page.figures.map(figureOf)],
    ['images', 'Images', page.sheets.map(pictureOf)],
    ['tables', 'Tables', page.tables.map(findingOf)],
    ['method', 'How it was made', [methodOf(page)]],
  ];
  const sections = parts.filter(([, , content]) => content.length > 0);
  const links = sections.map(([id, title]) => html`<a href="#${id}">${title}</a>`);
  const body = sections.map(
    ([id, title, content]) => html`<section><h2 id="${id}">${title}</h2>
${content}</section>
`,
  );
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy(page.explorer?.script)}">
<title>${page.title}</title>
<style>${markup(pageStyle())}</style>
</head>
<body>
<header>
<h1>${page.title}</h1>
<p class="dim">Experiment <code>${page.experiment}</code>, preset ${page.preset}, ${page.date.slice(0, 16).replace('T', ' ')} UTC</p>
<p><code>${page.command}</code></p>
<nav>${links}</nav>
</header>
${body}${scripts(page)}</body>
</html>
`.html;
}

const headings = (names: readonly string[]): Html[] => names.map((name) => html`<th>${name}</th>`);

/** A table that scrolls where the page is narrow. */
const wideTable = (
  kind: string,
  head: readonly Html[],
  rows: readonly Html[],
): Html => html`<div class="wide"><table class="${kind}">
<thead><tr>${head}</tr></thead>
<tbody>
${rows}</tbody></table></div>
`;

/** Verdicts in print without colour. */
const signs: Readonly<Record<Verdict, string>> = {
  holds: '✓',
  'does not hold': '✗',
  undecided: '?',
  'cannot be checked here': '–',
};

function claimsTable(claims: readonly Claim[]): Html {
  const rows = claims.map(
    ({ verdict, source, statement, printed, measured, why, trace }) => html`<tr>
<td><span class="badge ${verdict.replaceAll(' ', '-')}">${signs[verdict]} ${verdict}</span></td>
<td>${statement}<br><span class="dim">${source}</span></td>
<td>${printed}</td>
<td>${measured}${why === undefined ? '' : html`<br><span class="why">${why}</span>`}</td>
<td class="trace"><code>${trace.file}</code><br>${trace.row}</td>
</tr>
`,
  );
  return wideTable('claims text', headings(['Verdict', 'Claim', 'Paper', 'Measured here', 'Traced to']), rows);
}

function resultsTable({ head, lines }: NonNullable<Page['results']>): Html {
  const rows = lines.map(({ kind, cells }) => {
    return html`<tr class="${kind}">${cells.map((cell) => html`<td>${cell.trim()}</td>`)}</tr>
`;
  });
  return html`${wideTable('results', headings(head), rows)}<p class="dim">All digits: <code>table.csv</code>.</p>
`;
}

function explorerPlace({ count, step }: ExplorerData): Html {
  const which = step === 1 ? `the ${counted(count)} images` : `${counted(count)} of the images (one in ${step})`;
  return html`<noscript><p class="dim">Needs scripts, which this browser does not run.</p></noscript>
<div id="explore" hidden>
<p>These are ${which} that the table reports on. Thresholds picked here are chosen on them, so
the accuracy shown is too good: to report numbers, choose on other images (<code>thresholds.margins</code>).</p>
<div class="explorer"></div>
</div>
`;
}

/** Data and script. `<` is escaped in the JSON: it could end the element. */
function scripts({ explorer }: Page): Html {
  if (explorer === undefined) return markup('');
  const json = visibleLines(JSON.stringify(explorer.data)).replaceAll('<', '\\u003c');
  return markup(`<script type="application/json" id="explorer-data">${json}</script>
<script>${explorer.script}</script>
`);
}

const figureOf = ({ figure, svg }: Page['figures'][number]): Html => html`<figure>
${markup(svg)}
<figcaption>${figure.caption} <code>${figure.name}.svg</code></figcaption>
</figure>
`;

function pictureOf({ sheet, png }: Page['sheets'][number]): Html {
  const { width, height } = pngSize(png);
  const data = Buffer.from(png.buffer, png.byteOffset, png.byteLength).toString('base64');
  return html`<figure>
<h3>${sheet.title}</h3>
<img src="data:image/png;base64,${data}" width="${width / SHEET_DENSITY}" height="${height / SHEET_DENSITY}" alt="${sheet.title}">
<figcaption>${sheet.caption} <code>${sheet.name}.png</code></figcaption>
</figure>
`;
}

/** Size in pixels, from a PNG's first chunk. */
function pngSize(png: Uint8Array): { width: number; height: number } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  return { width: view.getUint32(16), height: view.getUint32(20) };
}

function findingOf(finding: FindingTable): Html {
  const { head, lines } = findingCells(finding, MOST_ROWS);
  const left = finding.rows.length - lines.length;
  const all = left === 0 ? 'All digits' : `${counted(left)} more rows, and all digits`;
  const words = finding.columns.map((_, i) => finding.rows.every((row) => typeof row[i] === 'string'));
  const kind = (i: number): string => (words[i] ? 'word' : 'number');
  const rows = lines.map(
    (cells) => html`<tr>${cells.map((cell, i) => html`<td class="${kind(i)}">${cell}</td>`)}</tr>\n`,
  );
  const names = head.map((name, i) => html`<th class="${kind(i)}">${name}</th>`);
  const legend = finding.legend === undefined ? '' : `${finding.legend}. `;
  return html`<h3>${finding.title}</h3>
${wideTable(head.length > MANY_COLUMNS ? 'many' : 'few', names, rows)}<p class="dim">${legend}${all}: <code>${finding.name}.csv</code>.</p>
`;
}

function methodOf({ facts, stages, definition }: Page): Html {
  const seconds = (value: number | null): string => (value === null ? '' : value.toFixed(2));
  const rows = stages.map(({ name, now, computed }) => {
    return html`<tr><td>${name}</td><td>${seconds(now)}</td><td>${seconds(computed)}</td></tr>
`;
  });
  return html`<dl class="facts">
${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`)}</dl>
<h3>Seconds of each stage</h3>
<table>
<thead><tr>${headings(['Stage', 'This run', 'When computed'])}</tr></thead>
<tbody>
${rows}</tbody></table>
<h3>Definition</h3>
<pre><code>${definition}</code></pre>
`;
}

/** Escaped markup. */
interface Html {
  readonly html: string;
}

type Value = string | number | Html | readonly Html[];

/** A template that escapes its values, except markup from this function or from {@link markup}. */
export function html(pieces: TemplateStringsArray, ...values: readonly Value[]): Html {
  return { html: pieces.map((piece, i) => piece + (i < values.length ? text(values[i]!) : '')).join('') };
}

/** Takes trusted text as markup: figures and styles of this project. */
const markup = (trusted: string): Html => ({ html: trusted });

function text(value: Value): string {
  if (typeof value === 'string' || typeof value === 'number') return markupText(String(value));
  return 'html' in value ? value.html : value.map((part) => part.html).join('');
}
