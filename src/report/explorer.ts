import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ImageSource } from '../data/dataset.js';
import { projectRoot } from '../project.js';
import type { Confidences, ExitCosts, Scores } from '../thresholds/evaluate.js';
import { tileOf } from './figures.js';
import { picturesOf } from './findings.js';

/** What the page's script reads: scores of the reported images, and thresholds to start from. */
export interface ExplorerData {
  readonly count: number;
  /** They are every `step`-th of the reported images. */
  readonly step: number;
  /** Names of the exits, in order. */
  readonly exits: readonly string[];
  /** FLOPs of an image by its exit. */
  readonly costs: ExitCosts;
  readonly originalFlops: number;
  readonly classNames: readonly string[];
  /** Rows of the table, one per fold: thresholds, null for a closed exit. */
  readonly rows: readonly { readonly name: string; readonly thresholds: readonly (number | null)[] }[];
  /** The run's command. */
  readonly command: string;
  /** Base64: classes and labels as 16-bit integers, confidences as 32-bit floats, or 64-bit ones, little-endian. */
  readonly classes: readonly string[];
  readonly confidences: readonly string[];
  readonly original: string;
  readonly labels: string;
  /** Thumbnails of every `every`-th image, `columns` in a line, each `size` pixels wide and high. */
  readonly thumbnails?: {
    readonly url: string;
    readonly size: number;
    readonly columns: number;
    readonly every: number;
  };
}

/** Most images with scores on a page, evenly spaced: each takes 10 bytes per exit. Classes have 16 bits. */
const MOST_IMAGES = 50_000;
const MOST_CLASSES = 2 ** 16;
/** Most thumbnails on a page, and most pixels read for them. */
const MOST_THUMBNAILS = 1000;
const MOST_PIXELS = 4e6;
const THUMBNAIL = 32;
const COLUMNS = 32;

/** The data of the page's script; undefined without exits, or with more than 65,536 classes. @param sheet of thumbnails */
export async function explorerData(
  scores: Scores,
  images: ImageSource,
  about: Pick<ExplorerData, 'exits' | 'costs' | 'originalFlops' | 'rows' | 'command'>,
  sheet?: Uint8Array,
): Promise<ExplorerData | undefined> {
  if (!isExplorable(scores, images)) return undefined;
  const step = stepOf(scores.count);
  const shown = <T extends Int32Array | Confidences>(values: T) => values.filter((_, i) => i % step === 0) as T;
  const text = (array: Uint8Array | Uint16Array | Confidences): string =>
    Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64');
  const url = sheet && `data:image/webp;base64,${text(sheet)}`;
  return {
    ...about,
    count: Math.ceil(scores.count / step),
    step,
    classNames: images.classes,
    classes: scores.classes.map((of) => text(Uint16Array.from(shown(of)))),
    confidences: scores.confidences.map((of) => text(shown(of))),
    original: text(Uint16Array.from(shown(scores.original))),
    labels: text(Uint16Array.from(shown(scores.labels))),
    ...(url && { thumbnails: { url, size: THUMBNAIL, columns: COLUMNS, every: everyOf(images) } }),
  };
}

const stepOf = (count: number): number => Math.ceil(count / MOST_IMAGES);

const isExplorable = ({ confidences }: Scores, { classes }: ImageSource): boolean =>
  confidences.length > 0 && classes.length <= MOST_CLASSES;

/** Whether a page with these scores shows thumbnails: of grey and colour images, if all could be decoded. */
export const canBeShown = (images: ImageSource, scores: Scores): boolean =>
  isExplorable(scores, images) && images.count === scores.count && (images.channels === 1 || images.channels === 3);

/** The step between images with a thumbnail, among those of the page. */
function everyOf({ count, height, width }: ImageSource): number {
  const shown = Math.ceil(count / stepOf(count));
  return Math.ceil(shown / Math.min(MOST_THUMBNAILS, Math.max(COLUMNS, Math.floor(MOST_PIXELS / (height * width)))));
}

/** Draws some images, evenly spaced, as one WebP picture. */
export async function drawThumbnails(images: ImageSource): Promise<Uint8Array> {
  const every = everyOf(images) * stepOf(images.count);
  const chosen = Array.from({ length: Math.ceil(images.count / every) }, (_, i) => i * every);
  const kernel = images.height < THUMBNAIL ? 'nearest' : 'lanczos3';
  const tiles = await Promise.all(
    (await picturesOf(images, chosen)).map(async (picture, i) => ({
      ...(await tileOf(picture, { width: THUMBNAIL, height: THUMBNAIL, kernel })),
      left: (i % COLUMNS) * THUMBNAIL,
      top: Math.floor(i / COLUMNS) * THUMBNAIL,
    })),
  );
  const { default: sharp } = await import('sharp');
  const sheet = { width: COLUMNS * THUMBNAIL, height: Math.ceil(chosen.length / COLUMNS) * THUMBNAIL };
  return sharp({ create: { ...sheet, channels: 3, background: 'white' } })
    .composite(tiles)
    .webp({ quality: 60 })
    .toBuffer();
}

/** The page's script: the built one, or bundled from the sources if dgate runs from them. */
export async function explorerScript(): Promise<string> {
  const fromSources = fileURLToPath(import.meta.url).endsWith('.ts');
  return fromSources ? bundleExplorer() : readFile(new URL('dist/vendor/explorer.js', projectRoot), 'utf8');
}

/** Bundles `src/report/client` with the searches that it uses; a step of `npm run build`. */
export async function bundleExplorer(): Promise<string> {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('src/report/client/main.ts', projectRoot))],
    bundle: true,
    minify: true,
    write: false,
    format: 'iife',
    target: 'es2022',
  });
  return outputFiles[0]!.text.trimEnd().replaceAll('</script', '<\\/script');
}
