import { InputError } from '../errors.js';

/** How a network wants its pixels: (pixel - mean) / std per channel, pixels scaled to [0, 1]. */
export interface Preprocessing {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /**
   * Length of the shorter side after resizing, in pixels. This and the rest are for images of differing sizes
   * (`image-folder/geometry.ts`); absent values are the dataset's.
   */
  readonly resize?: number;
  /** Side of the square cut from the centre, in pixels. */
  readonly crop?: number;
  readonly interpolation?: 'bilinear' | 'bicubic';
  /** Whether both sides become `resize` pixels long. */
  readonly squash?: boolean;
  /** Order of the channels, and so of `mean` and `std`. */
  readonly order?: 'rgb' | 'bgr';
}

const known = new WeakMap<Preprocessing, readonly Float32Array[]>();

/**
 * Normalises bytes for the network: (byte / 255 - mean) / std by channel, rounded to float32 after every step. The result is
 * bit-identical to torchvision's `ToTensor` and `Normalize`.
 *
 * @param images (n, channels, channelSize) bytes, channels as many as `preprocessing` has
 * @param channelSize pixels of one channel: height x width
 * @param out filled with (n, channels, channelSize); may be longer than needed
 * @returns `out`
 * @throws InputError if the preprocessing is invalid; RangeError if the sizes do not fit
 */
export function normalise(
  images: Uint8Array,
  preprocessing: Preprocessing,
  channelSize: number,
  out: Float32Array = new Float32Array(images.length),
): Float32Array {
  const tables = tablesOf(preprocessing);
  const channels = preprocessing.mean.length;
  if (images.length % (channels * channelSize) !== 0) {
    throw new RangeError(`${images.length} bytes are no images of ${channels} x ${channelSize}`);
  }
  if (out.length < images.length) throw new RangeError(`room for ${out.length} of ${images.length} values`);
  for (let start = 0, channel = 0; start < images.length; start += channelSize, channel = (channel + 1) % channels) {
    const ofChannel = tables[channel]!;
    const end = start + channelSize;
    for (let i = start; i < end; i++) out[i] = ofChannel[images[i]!]!;
  }
  return out;
}

/** The normalised value of each of the 256 bytes, by channel. Built once per preprocessing object. */
function tablesOf(preprocessing: Preprocessing): readonly Float32Array[] {
  const found = known.get(preprocessing);
  if (found !== undefined) return found;
  checkPreprocessing(preprocessing);
  const tables = preprocessing.mean.map((mean, channel) => {
    const std = Math.fround(preprocessing.std[channel]!);
    return Float32Array.from(
      { length: 256 },
      (_, byte) => Math.fround(Math.fround(byte / 255) - Math.fround(mean)) / std,
    );
  });
  known.set(preprocessing, tables);
  return tables;
}

/** @throws InputError unless there are as many finite means as positive standard deviations, at least one of each */
export function checkPreprocessing({ mean, std }: Preprocessing): void {
  const problems: string[] = [];
  if (mean.length === 0 || mean.length !== std.length) {
    problems.push(
      `preprocessing: ${mean.length} means and ${std.length} standard deviations; valid: one of each per channel`,
    );
  }
  if (!mean.every(Number.isFinite)) problems.push(`preprocessing: mean ${mean.join(', ')}; valid: finite numbers`);
  if (!std.every((value) => Number.isFinite(value) && value > 0)) {
    problems.push(`preprocessing: std ${std.join(', ')}; valid: numbers above 0`);
  }
  if (problems.length > 0) throw new InputError(problems);
}
