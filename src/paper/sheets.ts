import type { ImageSource } from '../data/dataset.js';
import { Random } from '../random.js';
import type { ImageSheet } from '../report/findings.js';

type SheetRow = ImageSheet['rows'][number];
type SheetImage = SheetRow['images'][number];

/** The images of a row of a sheet. */
interface SheetRowChoice {
  readonly label: string;
  /** Positions of the images. */
  readonly images: readonly number[];
  readonly caption: (image: number) => string;
  readonly tone: SheetImage['tone'];
}

/** Reads the pixels of a row. */
export async function sheetRow(
  source: ImageSource,
  { label, images, caption, tone }: SheetRowChoice,
): Promise<SheetRow> {
  const { channels, height, width } = source;
  const size = channels * height * width;
  const pixels = await source.batch(images);
  return {
    label,
    images: images.map((image, i) => ({
      pixels: pixels.slice(i * size, (i + 1) * size),
      channels,
      height,
      width,
      caption: caption(image),
      tone,
    })),
  };
}

/** A random choice of candidates in random order, determined by seed and stream. */
export function drawn(candidates: readonly number[], count: number, seed: number, stream: string): number[] {
  return new Random(seed, stream).shuffle([...candidates]).slice(0, count);
}
