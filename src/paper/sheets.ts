import type { ImageSource } from '../data/dataset.js';
import { Random } from '../random.js';
import type { ImageSheet } from '../report/findings.js';

type SheetRow = ImageSheet['rows'][number];
type SheetImage = SheetRow['images'][number];

/** Images to show in a row of a sheet. */
export interface SheetRowChoice {
  readonly label: string;
  /** Positions of the images. */
  readonly images: readonly number[];
  readonly caption: (image: number) => string;
  readonly tone: SheetImage['tone'];
}

/** A row of a sheet with its pixels. */
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

/** Some of the candidates, none picked by eye: a random choice of the seed, in random order. */
export function drawn(candidates: readonly number[], count: number, seed: number, stream: string): number[] {
  return new Random(seed, stream).shuffle([...candidates]).slice(0, count);
}
