import type { TopLevelSpec } from 'vega-lite';
import { markupText, visibleLines } from '../escape.js';
import type { Figure } from './findings.js';
import { type Font, loadFont, wrapText } from './font.js';
import { theme } from './theme.js';

/** A bold letter is at most this much wider than a plain one. */
const BOLD = 1.14;
/** Pixels that a title takes before it goes on in another line. */
const TITLE_WIDTH = 560;

/**
 * Draws a figure as SVG, in the theme of the report, without a browser. The same figure gives the same bytes.
 *
 * @param warn is told what Vega finds doubtful in the specification (an unknown property, an empty scale)
 * @throws Error where the specification asks for data from outside itself
 */
export async function renderSvg(figure: Figure, warn: (message: string) => void = () => {}): Promise<string> {
  // Loaded here, as most commands draw nothing and both are large.
  const [{ compile }, vega, font] = await Promise.all([import('vega-lite'), import('vega'), loadFont()]);
  textMetrics(vega).width = (item, text) => measure(font, item, text);
  const said = (...messages: readonly unknown[]): void => warn(`figure ${figure.name}: ${messages.join(' ')}`);
  const logger = quietLogger(said);
  const { spec } = compile(withTitle(figure, font), { config: theme, logger });
  const asked: string[] = [];
  const view = new vega.View(vega.parse(spec), { renderer: 'none', logger, loader: closedLoader(asked) });
  try {
    const svg = await view.toSVG();
    if (asked.length > 0) throw new Error(`figure ${figure.name} asks for ${asked[0]}; its data stand in itself`);
    return named(visibleLines(svg), figure);
  } finally {
    view.finalize();
  }
}

function withTitle({ spec, title }: Figure, font: Font): TopLevelSpec {
  if (spec.title !== undefined) return spec;
  return { ...spec, title: { text: wrapText(font, title, 15 * BOLD, TITLE_WIDTH) } };
}

/** Width of a text mark: Vega's own guess without a canvas is far off. */
function measure(font: Font, item: TextItem, text?: unknown): number {
  const line = String(text ?? item.text ?? '');
  const weight = item.fontWeight === 'bold' || Number(item.fontWeight) >= 600 ? BOLD : 1;
  const width = weight * font.width(line, item.fontSize ?? 11);
  return item.limit !== undefined && item.limit > 0 ? Math.min(width, item.limit) : width;
}

/** Where Vega's own types leave out how text is measured. */
function textMetrics(vega: object): { width: (item: TextItem, text?: unknown) => number } {
  return (vega as { textMetrics: ReturnType<typeof textMetrics> }).textMetrics;
}

interface TextItem {
  readonly text?: unknown;
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
  /** Pixels after which the text is cut. */
  readonly limit?: number;
}

/**
 * A title for those who hear the page; names of clips and gradients that no other figure of a page has; cells of a plane
 * and bars without seams.
 */
function named(svg: string, { name, title }: Figure): string {
  // Vega counts its names on from figure to figure.
  const ids = [...new Set([...svg.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id!))];
  const own = new Map(ids.map((id, i) => [id, `${name}-${i + 1}`]));
  return svg
    .replaceAll(/\bid="([^"]+)"/g, (_, id: string) => `id="${own.get(id)}"`)
    .replaceAll(/url\(#([^)]+)\)/g, (_, id: string) => `url(#${own.get(id)})`)
    .replaceAll('<g class="mark-rect role-mark', '<g shape-rendering="crispEdges" class="mark-rect role-mark')
    .replace(/<svg [^>]*>/, (open) => {
      return `${open.replace('<svg ', '<svg role="img" ')}<title>${markupText(title)}</title>`;
    });
}

/** A loader of data and images that fetches nothing and notes what it was asked for. */
function closedLoader(asked: string[]) {
  const refuse = (uri: string): Promise<never> => {
    asked.push(uri);
    return Promise.reject(new Error('nothing is fetched'));
  };
  return { load: refuse, sanitize: refuse, http: refuse, file: refuse };
}

/** Vega's logger: warnings and errors are passed on, the rest is dropped. */
function quietLogger(said: (...messages: readonly unknown[]) => void) {
  const logger = {
    level: (() => logger) as never,
    error: (...messages: readonly unknown[]) => {
      said(...messages);
      return logger;
    },
    warn: (...messages: readonly unknown[]) => {
      said(...messages);
      return logger;
    },
    info: () => logger,
    debug: () => logger,
  };
  return logger;
}
