import { markupText, visibleLines } from '../escape.js';
import type { Figure } from './findings.js';
import { type Font, loadFont, theme, wrapText } from './theme.js';

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
  textMetrics(vega).width = (item, text) => textWidth(font, item, text);
  const logger = vega.logger(vega.Warn, undefined, (_method, _level, messages) => {
    warn(`figure ${figure.name}: ${Array.from(messages).join(' ')}`);
  });
  const title = { text: wrapText(font, figure.title, 15 * BOLD, TITLE_WIDTH) };
  const { spec } = compile({ title, ...figure.spec }, { config: theme, logger });
  const asked: string[] = [];
  const view = new vega.View(vega.parse(spec), { renderer: 'none', logger, loader: closedLoader(asked) });
  try {
    const svg = await view.toSVG();
    if (asked.length > 0)
      throw new Error(`figure ${figure.name} refers to ${asked[0]}; valid: data inside the specification`);
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

/** Vega's text measurement, which its types omit. */
function textMetrics(vega: object): { width: (item: TextItem, text?: unknown) => number } {
  return (vega as { textMetrics: ReturnType<typeof textMetrics> }).textMetrics;
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

/** A loader that fetches nothing and records the requested addresses. */
function closedLoader(asked: string[]) {
  const refuse = (uri: string): Promise<never> => {
    asked.push(uri);
    return Promise.reject(new Error('external data are not loaded'));
  };
  return { load: refuse, sanitize: refuse, http: refuse, file: refuse };
}
