import { canonicalJson, sha256 } from '../store/files.js';
import type { ImageSource } from './dataset.js';

/** How one network of a cascade sees the pixels of another, in numbers that a graph computes exactly as well. */
export interface Resizing {
  readonly from: { readonly height: number; readonly width: number };
  readonly to: { readonly height: number; readonly width: number };
  /** Share of each side that it sees, around the centre: above 0, up to 1. */
  readonly field: number;
  /** Whether its channels stand in the opposite order. */
  readonly isReversed: boolean;
}

/** The weights of an average add up to this: a sum of bytes times weights stays below 2^24, exact in float32. */
export const WEIGHT_SUM = 65536;

/**
 * Weights that bring one side of an image to another length: linear interpolation, when it shrinks averaged over all pixels
 * that a new pixel covers (the triangle filter of Pillow and torchvision with antialiasing).
 *
 * @param field share of the side that is seen, around the centre
 * @returns [to, from], whole numbers; each row adds up to `WEIGHT_SUM`
 */
export function sideWeights(from: number, to: number, field: number): Float32Array {
  const weights = new Float32Array(to * from);
  const step = (from * field) / to;
  const reach = Math.max(1, step);
  for (let i = 0; i < to; i++) {
    const row = weights.subarray(i * from, (i + 1) * from);
    const centre = (from * (1 - field)) / 2 + (i + 0.5) * step;
    const exact = Array.from(row, (_, j) => Math.max(0, 1 - Math.abs(j + 0.5 - centre) / reach));
    const sum = exact.reduce((all, weight) => all + weight, 0);
    row.set(exact.map((weight) => Math.round((WEIGHT_SUM * weight) / sum)));
    const largest = row.indexOf(Math.max(...row));
    row[largest]! += WEIGHT_SUM - row.reduce((all, weight) => all + weight, 0);
  }
  return weights;
}

/** The same images as a network sees them that takes another size. Both sides are rounded to bytes, the width first. */
export function resizedImages(source: ImageSource, resizing: Resizing): ImageSource {
  const { from, to, field, isReversed } = resizing;
  const { channels } = source;
  const [across, down] = [sideWeights(from.width, to.width, field), sideWeights(from.height, to.height, field)];
  const [before, after] = [from.height * from.width, to.height * to.width];
  return {
    ...source,
    ...to,
    sha256: sha256(canonicalJson({ source: source.sha256, resizing })),
    async batch(indices) {
      const pixels = await source.batch(indices);
      const out = new Uint8Array(indices.length * channels * after);
      for (let plane = 0; plane < indices.length * channels; plane++) {
        const channel = plane % channels;
        const read = isReversed ? plane - channel + (channels - 1 - channel) : plane;
        const given = pixels.subarray(read * before, (read + 1) * before);
        out.set(averagedRows(averagedRows(given, across, from.width), down, from.height), plane * after);
      }
      return out;
    },
  };
}

/** Weighted averages of each row, rounded: [rows, from] with weights [to, from] to [to, rows], transposed. */
function averagedRows(plane: Uint8Array, weights: Float32Array, from: number): Uint8Array {
  const [rows, to] = [plane.length / from, weights.length / from];
  const out = new Uint8Array(to * rows);
  for (let i = 0; i < to; i++) {
    const some = weights.subarray(i * from, (i + 1) * from);
    const first = some.findIndex((weight) => weight > 0);
    const end = some.findLastIndex((weight) => weight > 0) + 1;
    for (let row = 0; row < rows; row++) {
      let sum = WEIGHT_SUM / 2;
      for (let j = first; j < end; j++) sum += some[j]! * plane[row * from + j]!;
      out[i * rows + row] = Math.floor(sum / WEIGHT_SUM);
    }
  }
  return out;
}
