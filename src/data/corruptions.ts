import { InputError } from '../errors.js';
import { normals, Random } from '../random.js';
import { codeOf } from '../store/code.js';
import { canonicalJson, sha256 } from '../store/files.js';
import type { ImageShape, ImageSource } from './dataset.js';
import { type Pixels, resample } from './resample.js';

/**
 * Eight corruptions of CIFAR-10-C by its recipe, with its constants and rounding (Hendrycks and Dietterich 2019,
 * https://github.com/hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py). `test/fixtures/corruptions/recipe.py` compares
 * them with scikit-image, OpenCV and Pillow.
 */
const corruptions = {
  'gaussian-noise': by([0.04, 0.06, 0.08, 0.09, 0.1], ({ values }, deviation, random) => {
    const normal = normals(random);
    return bytesOf(values.map((value) => value / 255 + deviation * normal()));
  }),
  'shot-noise': by([500, 250, 100, 75, 50], ({ values }, photons, random) =>
    bytesOf(values.map((value) => poisson((value / 255) * photons, random.uniform()) / photons)),
  ),
  'gaussian-blur': by([0.4, 0.6, 0.7, 0.8, 1], (image, deviation) => bytesOf(gaussianBlur(image, deviation))),
  'defocus-blur': by(
    [
      [0.3, 0.4],
      [0.4, 0.5],
      [0.5, 0.6],
      [1, 0.2],
      [1.5, 0.1],
    ] as const,
    (image, [radius, blur]) => bytesOf(filtered(image, disk(radius, blur))),
  ),
  brightness: by([0.05, 0.1, 0.15, 0.2, 0.3], (image, more) => bytesOf(brighter(image, more))),
  contrast: by([0.75, 0.5, 0.4, 0.3, 0.15], ({ values, width, height }, factor) => {
    const size = width * height;
    const means = Array.from({ length: values.length / size }, (_, channel) => {
      return values.subarray(channel * size, (channel + 1) * size).reduce((sum, value) => sum + value / 255, 0) / size;
    });
    return bytesOf(
      values.map((value, i) => {
        const mean = means[Math.floor(i / size)]!;
        return (value / 255 - mean) * factor + mean;
      }),
    );
  }),
  jpeg: by([80, 65, 58, 50, 40], (image, quality) => jpeg(image, quality)),
  pixelate: by([0.95, 0.9, 0.85, 0.75, 0.65], (image, share) => pixelate(image, share)),
} as const;

export type CorruptionName = keyof typeof corruptions;
export const corruptionNames = Object.keys(corruptions) as readonly CorruptionName[];
export const severities = [1, 2, 3, 4, 5] as const;

/** Values (channels, height, width), 0 to 255. */
interface Image extends ImageShape {
  readonly values: Float64Array;
}

type Corrupt<Constant = number> = (
  image: Image,
  constant: Constant,
  random: Random,
) => Uint8Array | Promise<Uint8Array>;

function by<Constant>(constants: readonly Constant[], apply: Corrupt<Constant>): Corrupt {
  return (image, severity, random) => apply(image, constants[severity - 1]!, random);
}

/**
 * The images, corrupted as they are read. Noise depends only on the seed and an image's position.
 *
 * @param severity 1 to 5
 * @throws InputError for images too large for the recipe's constants
 */
export function corrupted(images: ImageSource, name: CorruptionName, severity: number, seed: number): ImageSource {
  const { channels, height, width, sha256: source } = images;
  if (Math.max(height, width) > 64) {
    throw new InputError(
      `${name}: images of ${width} x ${height}; valid: at most 64 x 64, the size that its constants suit`,
    );
  }
  const size = channels * height * width;
  const corrupt: Corrupt = corruptions[name];
  return {
    ...images,
    sha256: sha256(canonicalJson({ source, name, severity, seed, code: codeOf('data/corruptions') })),
    async batch(indices, into) {
      const batch = await images.batch(indices, into);
      for (let i = 0; i < indices.length; i++) {
        const bytes = batch.subarray(i * size, (i + 1) * size);
        const random = new Random(seed, `${name} ${severity} of image ${indices[i]}`);
        bytes.set(await corrupt({ channels, height, width, values: Float64Array.from(bytes) }, severity, random));
      }
      return batch;
    },
  };
}

/** Values, clipped to [0, 1], as bytes, rounded down. */
const bytesOf = (values: Float64Array): Uint8Array =>
  Uint8Array.from(values, (value) => Math.max(0, Math.min(1, value)) * 255);

/** Cumulative probabilities of Poisson distributions, by mean: at most 256 means per severity. */
const poissons = new Map<number, Float64Array>();

/** A Poisson number from a uniform one, by inversion. @param mean at most 500 */
function poisson(mean: number, uniform: number): number {
  let cumulative = poissons.get(mean);
  if (cumulative === undefined) {
    const most = Math.ceil(mean + 10 * Math.sqrt(mean) + 20);
    let [probability, sum] = [Math.exp(-mean), 0];
    cumulative = Float64Array.from({ length: most }, (_, k) => {
      if (k > 0) probability *= mean / k;
      sum += probability;
      return sum;
    });
    poissons.set(mean, cumulative);
  }
  let [low, high] = [0, cumulative.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (uniform < cumulative[middle]!) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** scikit-image's `gaussian`: columns, then rows, truncated at four deviations, border pixels repeated. */
function gaussianBlur({ values, width, height }: Image, deviation: number): Float64Array {
  const radius = Math.floor(4 * deviation + 0.5);
  const weights = Array.from({ length: radius + 1 }, (_, i) => Math.exp((-0.5 * i * i) / deviation ** 2));
  const sum = weights.reduce((total, weight, i) => total + (i === 0 ? weight : 2 * weight), 0);
  const along = (from: Float64Array, step: number, length: number): Float64Array =>
    from.map((value, i) => {
      const at = Math.floor(i / step) % length;
      let blurred = value * (weights[0]! / sum);
      for (let k = radius; k > 0; k--) {
        const [before, after] = [Math.min(k, at), Math.min(k, length - 1 - at)];
        blurred += (from[i - before * step]! + from[i + after * step]!) * (weights[k]! / sum);
      }
      return blurred;
    });
  const scaled = values.map((value) => value / 255);
  return along(along(scaled, width, height), 1, width);
}

/** Half of the side of {@link disk}'s kernel. */
const REACH = 2;

/** The recipe's `disk`, blurred by a 3 x 3 Gaussian. @param radius at most 1.5 @returns [5, 5] weights */
function disk(radius: number, blur: number): Float64Array {
  const side = Math.exp(-0.5 / blur ** 2);
  const gaussian = [side, 1, side].map((weight) => weight / (1 + 2 * side));
  const steps = [-2, -1, 0, 1, 2];
  const inside = (x: number, y: number): number => Number(x * x + y * y <= radius ** 2);
  const area = steps.flatMap((y) => steps.map((x) => inside(x, y))).reduce((sum, one) => sum + one, 0);
  const near = [-1, 0, 1].flatMap((dy) =>
    [-1, 0, 1].map((dx) => ({ dx, dy, weight: gaussian[dy + 1]! * gaussian[dx + 1]! })),
  );
  const weightAt = (x: number, y: number): number =>
    near.reduce((sum, { dx, dy, weight }) => sum + weight * inside(x - dx, y - dy), 0);
  return Float64Array.from(steps.flatMap((y) => steps.map((x) => weightAt(x, y) / area)));
}

/** OpenCV's `filter2D` with its default border (reflect-101). @param kernel [5, 5] */
function filtered({ values, width, height }: Image, kernel: Float64Array): Float64Array {
  const mirrored = (at: number, length: number): number => length - 1 - Math.abs(length - 1 - Math.abs(at));
  return values.map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width) % height];
    const plane = i - y * width - x;
    let sum = 0;
    for (let k = 0; k < kernel.length; k++) {
      const column = mirrored(x + (k % 5) - REACH, width);
      const row = mirrored(y + Math.floor(k / 5) - REACH, height);
      sum += (kernel[k]! * values[plane + row * width + column]!) / 255;
    }
    return sum;
  });
}

/** Adds to HSV's value, at most 1; channels keep their ratio. */
function brighter({ values, width, height }: Image, more: number): Float64Array {
  const size = width * height;
  const largest = Float64Array.from({ length: size }, (_, i) => {
    let most = 0;
    for (let at = i; at < values.length; at += size) most = Math.max(most, values[at]! / 255);
    return most;
  });
  return values.map((value, i) => {
    const before = largest[i % size]!;
    const after = Math.min(1, before + more);
    return before === 0 ? after : (value / 255) * (after / before);
  });
}

/** Encodes and decodes with libjpeg at 4:2:0, as Pillow. */
async function jpeg({ values, channels, width, height }: Image, quality: number): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  const size = width * height;
  const pixels = Uint8Array.from(values, (_, i) => values[(i % channels) * size + Math.floor(i / channels)]!);
  const raw = { width, height, channels: channels as 1 | 3 };
  const file = await sharp(pixels, { raw }).jpeg({ quality, chromaSubsampling: '4:2:0' }).toBuffer();
  const decoded = sharp(file);
  const data = await (channels === 1 ? decoded.toColourspace('b-w') : decoded).raw().toBuffer();
  return Uint8Array.from(data, (_, i) => data[(i % size) * channels + Math.floor(i / size)]!);
}

/** Shrinks square images by this factor and enlarges them again, with Pillow's box filter. */
function pixelate({ values, channels, width, height }: Image, share: number): Uint8Array {
  const size = width * height;
  const side = Math.floor(width * share);
  const resized = (from: Pixels, crop: number): Pixels =>
    resample(from, { width: crop, height: crop, left: 0, top: 0 }, { crop, interpolation: 'box' });
  const planes = Array.from({ length: channels }, (_, channel) => {
    const data = Uint8Array.from(values.subarray(channel * size, (channel + 1) * size));
    return resized(resized({ data, width, height, channels: 1 }, side), width).data;
  });
  return Uint8Array.from(planes.flatMap((plane) => [...plane]));
}
