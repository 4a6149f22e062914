import type { ImageShape } from '../data/dataset.js';
import { Random } from '../random.js';
import type { Recipe } from './recipe.js';

/**
 * The order of the images in an epoch. It depends only on the seed and the epoch, so that a resumed training continues
 * unchanged.
 *
 * @param epoch counted from 0
 * @returns (count) positions, each once
 */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const positions = Int32Array.from({ length: count }, (_, i) => i);
  return new Random(seed, `order of epoch ${epoch}`).shuffle(positions);
}

/** The random numbers of one step's augmentation. */
export function stepRandom(seed: number, epoch: number, step: number): Random {
  return new Random(seed, `images of epoch ${epoch}, step ${step}`);
}

/**
 * Random crops after padding with black, and random mirroring: torchvision's `RandomCrop(size, padding)` and
 * `RandomHorizontalFlip()` on bytes.
 *
 * @param images (n, channels, height, width) bytes
 * @returns new images of the same shape
 */
export function augment(
  images: Uint8Array,
  { channels, height, width }: ImageShape,
  { cropPadding, flip }: Pick<Recipe, 'cropPadding' | 'flip'>,
  random: Random,
): Uint8Array {
  const out = new Uint8Array(images.length);
  const imageBytes = channels * height * width;
  for (let image = 0; image < images.length; image += imageBytes) {
    const down = random.below(2 * cropPadding + 1) - cropPadding;
    const right = random.below(2 * cropPadding + 1) - cropPadding;
    const mirrored = flip && random.below(2) === 1;
    for (let row = 0; row < channels * height; row++) {
      const y = (row % height) + down;
      if (y < 0 || y >= height) continue; // stays black
      const from = image + (row - (row % height) + y) * width;
      copyRow(images, from, out, image + row * width, width, right, mirrored);
    }
  }
  return out;
}

/** out[x] = row[x + shift] where x + shift is in the row, then mirrored. */
function copyRow(
  source: Uint8Array,
  from: number,
  out: Uint8Array,
  to: number,
  width: number,
  shift: number,
  mirrored: boolean,
): void {
  const first = Math.max(0, -shift);
  const last = Math.min(width, width - shift);
  for (let x = first; x < last; x++) out[to + (mirrored ? width - 1 - x : x)] = source[from + x + shift]!;
}
