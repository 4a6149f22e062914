import { canonicalJson, sha256 } from '../store/files.js';
import type { ImageSource } from './dataset.js';
import type { Placement } from './preprocess.js';

/** Pixels of an image, (height, width, channels) bytes. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** For each output position: the first contributing input position, the number of them, and their weights. */
interface Taps {
  readonly first: Int32Array;
  readonly counts: Int32Array;
  /** (outputs, most), fixed point with {@link PRECISION} bits. */
  readonly weights: Int32Array;
  readonly most: number;
}

/** Bits after the point of PIL's weights for 8-bit images (Resample.c: 32 - 8 - 2). */
const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);

/**
 * Resizes and crops as Pillow (`ImagingResample`, Resample.c), bit for bit: columns first, rounded to bytes, then rows, with
 * fixed-point weights. Computes only the crop.
 *
 * @returns (crop, crop, channels) bytes
 */
export function resample(
  image: Pixels,
  to: Placement,
  { crop, interpolation }: { readonly crop: number; readonly interpolation: keyof typeof kernels },
): Pixels {
  const { channels } = image;
  const across = tapsOf(image.width, to.width, to.left, crop, interpolation);
  const down = tapsOf(image.height, to.height, to.top, crop, interpolation);
  const firstRow = down.first[0]!;
  const rows = down.first[crop - 1]! + down.counts[crop - 1]! - firstRow;
  const narrow = new Uint8Array(rows * crop * channels);
  for (let row = 0; row < rows; row++) {
    const line = (firstRow + row) * image.width * channels;
    filter(image.data, line, channels, across, channels, narrow, row * crop * channels, channels);
  }
  // Columns of `narrow`: the next value of one lies a whole row further.
  const stride = crop * channels;
  const result = new Uint8Array(crop * crop * channels);
  const shifted = { ...down, first: down.first.map((first) => first - firstRow) };
  for (let x = 0; x < crop; x++) {
    filter(narrow, x * channels, stride, shifted, channels, result, x * channels, stride);
  }
  return { data: result, width: crop, height: crop, channels };
}

/** One line of pixels: output position i becomes the weighted sum of its inputs, `step` values apart. */
function filter(
  from: Uint8Array,
  start: number,
  step: number,
  taps: Taps,
  channels: number,
  to: Uint8Array,
  toStart: number,
  toStep: number,
): void {
  const { first, counts, weights, most } = taps;
  for (let i = 0; i < first.length; i++) {
    const at = start + first[i]! * step;
    for (let c = 0; c < channels; c++) {
      let sum = HALF;
      for (let k = 0; k < counts[i]!; k++) sum += from[at + k * step + c]! * weights[i * most + k]!;
      const value = Math.floor(sum / 2 ** PRECISION);
      to[toStart + i * toStep + c] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
  }
}

/** Weights of outputs `start` to `start + count` of a line that goes from `from` to `to` pixels (precompute_coeffs). */
function tapsOf(from: number, to: number, start: number, count: number, kind: keyof typeof kernels): Taps {
  const kernel = kernels[kind];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = kernel.support * stretch;
  const most = Math.ceil(support) * 2 + 1;
  const taps = { first: new Int32Array(count), counts: new Int32Array(count), weights: new Int32Array(count * most) };
  for (let i = 0; i < count; i++) {
    const centre = (start + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(centre - support + 0.5));
    const high = Math.min(from, Math.trunc(centre + support + 0.5));
    const exact = Array.from({ length: high - low }, (_, k) => kernel.at((low + k - centre + 0.5) / stretch));
    const sum = exact.reduce((a, b) => a + b, 0);
    taps.first[i] = low;
    taps.counts[i] = high - low;
    exact.forEach((weight, k) => {
      const scaled = (sum === 0 ? weight : weight / sum) * 2 ** PRECISION;
      taps.weights[i * most + k] = Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
  }
  return { ...taps, most };
}

/** PIL's filters: the box, the triangle, and Keys' cubic with a = -0.5. */
const kernels = {
  box: { support: 0.5, at: (x: number): number => Number(x > -0.5 && x <= 0.5) },
  bilinear: { support: 1, at: (x: number): number => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    at: (x: number): number => {
      const a = -0.5;
      const d = Math.abs(x);
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
    },
  },
} as const;

/** How one network of a cascade sees the pixels of another; an ONNX graph computes the same bytes. */
export interface Resizing {
  readonly from: { readonly height: number; readonly width: number };
  readonly to: { readonly height: number; readonly width: number };
  /** Share of each side, around the centre, that it sees: above 0, up to 1. */
  readonly field: number;
  /** Whether its channels stand in the opposite order. */
  readonly isReversed: boolean;
}

/** The weights of an average add up to this: a sum of bytes times weights stays below 2^24, exact in float32. */
export const WEIGHT_SUM = 65536;

/**
 * Weights that resize one side of an image with the antialiased triangle filter of Pillow and torchvision.
 *
 * @param field share of the side, around the centre, that is seen
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

/** The images resized for another network: the width first, both sides rounded to bytes. */
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
