import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { ImageSource } from '../data/dataset.js';
import { projectRoot } from '../project.js';
import type { ExitCosts, Scores } from '../thresholds/evaluate.js';

/** What the page's script reads: the scores of the reported images, and where a reader may start. */
export interface ExplorerData {
  readonly count: number;
  /** Names of the exits, the last one at the end. */
  readonly exits: readonly string[];
  /** FLOPs of an image by its exit. */
  readonly costs: ExitCosts;
  readonly originalFlops: number;
  readonly classNames: readonly string[];
  /** Rows of the table: thresholds, null for a closed exit. In cross-fitting, each fold's are one. */
  readonly rows: readonly { readonly name: string; readonly thresholds: readonly (number | null)[] }[];
  /** The run's command. */
  readonly command: string;
  /** Base64: classes and labels as 16-bit integers, confidences as 32-bit floats, little-endian. */
  readonly classes: readonly string[];
  readonly confidences: readonly string[];
  readonly original: string;
  readonly labels: string;
  /** Small pictures of every `every`-th image, `columns` in a line, each `size` pixels wide and high. */
  readonly thumbnails?: {
    readonly url: string;
    readonly size: number;
    readonly columns: number;
    readonly every: number;
  };
}

/** Images with scores on a page, at most: 10 bytes each and exit. */
const MOST_IMAGES = 50_000;
/** Thumbnails on a page, at most, and pixels read for them. */
const MOST_THUMBNAILS = 1000;
const MOST_PIXELS = 4e6;
const THUMBNAIL = 32;
const COLUMNS = 32;

/**
 * What a page holds for its reader's own thresholds; nothing where there are no exits, or too many images for a page.
 *
 * @param sheet what {@link drawThumbnails} gives for the images
 */
export async function explorerData(
  scores: Scores,
  images: ImageSource,
  about: Pick<ExplorerData, 'exits' | 'costs' | 'originalFlops' | 'rows' | 'command'>,
  sheet?: Uint8Array,
): Promise<ExplorerData | undefined> {
  if (!isExplorable(scores)) return undefined;
  const text = (array: Uint16Array | Float32Array): string =>
    Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('base64');
  return {
    ...about,
    count: scores.count,
    classNames: images.classes,
    classes: scores.classes.map((of) => text(Uint16Array.from(of))),
    confidences: scores.confidences.map((of) => text(of)),
    original: text(Uint16Array.from(scores.original)),
    labels: text(Uint16Array.from(scores.labels)),
    ...(sheet && {
      thumbnails: {
        url: `data:image/webp;base64,${Buffer.from(sheet).toString('base64')}`,
        size: THUMBNAIL,
        columns: COLUMNS,
        every: everyOf(images),
      },
    }),
  };
}

const isExplorable = ({ count, confidences }: Scores): boolean => count <= MOST_IMAGES && confidences.length > 0;

/** Whether a page with these scores shows thumbnails: of grey and colour images that could all be decoded. */
export const canBeShown = ({ count, channels }: ImageSource, scores: Scores): boolean =>
  isExplorable(scores) && count === scores.count && (channels === 1 || channels === 3);

/** Every how many images have a thumbnail. */
function everyOf({ count, height, width }: ImageSource): number {
  return Math.ceil(count / Math.min(MOST_THUMBNAILS, Math.max(COLUMNS, Math.floor(MOST_PIXELS / (height * width)))));
}

/** One WebP picture of a part of the images, evenly over all of them. */
export async function drawThumbnails(images: ImageSource): Promise<Uint8Array> {
  const { height, width } = images;
  const channels = images.channels === 1 ? 1 : 3;
  const every = everyOf(images);
  const chosen = Int32Array.from({ length: Math.ceil(images.count / every) }, (_, i) => i * every);
  const pixels = await images.batch(chosen);
  const { default: sharp } = await import('sharp');
  const tiles = await Promise.all(
    Array.from(chosen, async (_, i) => {
      const plane = height * width;
      const tile = Buffer.alloc(plane * channels); // from planes to pixels
      for (let p = 0; p < plane; p++) {
        for (let c = 0; c < channels; c++) tile[p * channels + c] = pixels[(i * channels + c) * plane + p]!;
      }
      const { data: input, info } = await sharp(tile, { raw: { width, height, channels } })
        .resize(THUMBNAIL, THUMBNAIL, { kernel: height < THUMBNAIL ? 'nearest' : 'lanczos3' })
        .raw() // not compressed only to be decompressed by `composite`
        .toBuffer({ resolveWithObject: true });
      return { input, raw: info, left: (i % COLUMNS) * THUMBNAIL, top: Math.floor(i / COLUMNS) * THUMBNAIL };
    }),
  );
  const size = { width: COLUMNS * THUMBNAIL, height: Math.ceil(chosen.length / COLUMNS) * THUMBNAIL };
  return sharp({ create: { ...size, channels: 3, background: 'white' } })
    .composite(tiles)
    .webp({ quality: 60 })
    .toBuffer();
}

/** The page's script in one piece: built with dgate, or from its sources where dgate runs from them. */
export async function explorerScript(): Promise<string> {
  const fromSources = fileURLToPath(import.meta.url).endsWith('.ts');
  return fromSources ? bundleExplorer() : readFile(new URL('dist/vendor/explorer.js', projectRoot), 'utf8');
}

/** The script of `src/report/client` with the searches that it uses; a step of `npm run build`. */
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
