import { InputError } from '../errors.js';

/** A network's input: (pixel - mean) / std per channel, pixels scaled to [0, 1]. */
export interface Preprocessing {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Length of the shorter side after resizing, in pixels. From here on for images of differing sizes; default: the dataset's. */
  readonly resize?: number;
  /** Side of the square cut from the centre, in pixels. */
  readonly crop?: number;
  /** PIL's antialiased filters: their support grows as an image shrinks. */
  readonly interpolation?: 'bilinear' | 'bicubic';
  /** Whether both sides become `resize` pixels long (Keras), not only the shorter one. */
  readonly squash?: boolean;
  /** Order of the channels, of `mean` and of `std`; `bgr` is Caffe's. */
  readonly order?: 'rgb' | 'bgr';
}

const known = new WeakMap<Preprocessing, readonly Float32Array[]>();

/**
 * Normalises bytes: (byte / 255 - mean) / std by channel, rounded to float32 after every step: bit-identical to torchvision's
 * `ToTensor` and `Normalize`.
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

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const half = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
/** Pixels from 0 to 255, for networks that normalise them themselves. */
const bytes = { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] };
const caffeMean = [103.939, 116.779, 123.68].map((value) => value / 255);

/**
 * Preprocessings by the names of their publishers.
 *
 * `torchvision`: most weights of version 1; `-v2`: weights named V2 of ResNets. `timm`: crop_pct 0.875 and 0.95 (see its
 * config.json; shorter side = crop / crop_pct, rounded down), cubic. `keras-*`: `preprocess_input` in the modes tf, torch and
 * caffe, both sides 224, antialiased as `tf.image.resize` with antialias=True (not the default of Keras' loaders).
 */
export const preprocessings = {
  torchvision: { ...imagenet, resize: 256, crop: 224, interpolation: 'bilinear' },
  'torchvision-v2': { ...imagenet, resize: 232, crop: 224, interpolation: 'bilinear' },
  timm: { ...imagenet, resize: 256, crop: 224, interpolation: 'bicubic' },
  'timm-0.95': { ...imagenet, resize: 235, crop: 224, interpolation: 'bicubic' },
  'timm-inception': { ...half, resize: 248, crop: 224, interpolation: 'bicubic' },
  'keras-tf': { ...half, resize: 224, crop: 224, interpolation: 'bilinear', squash: true },
  'keras-torch': { ...imagenet, resize: 224, crop: 224, interpolation: 'bilinear', squash: true },
  'keras-caffe': {
    ...bytes,
    mean: caffeMean,
    resize: 224,
    crop: 224,
    interpolation: 'bilinear',
    squash: true,
    order: 'bgr',
  },
  bytes: { ...bytes, resize: 256, crop: 224, interpolation: 'bilinear' },
} as const satisfies Record<string, Preprocessing>;

export type PreprocessingName = keyof typeof preprocessings;

/** A preprocessing by name, or the given one. @throws InputError with the valid names */
export function preprocessingNamed(nameOrValue: string | Preprocessing): Preprocessing {
  if (typeof nameOrValue !== 'string') return nameOrValue;
  if (Object.hasOwn(preprocessings, nameOrValue)) return preprocessings[nameOrValue as PreprocessingName];
  throw new InputError(
    `preprocessing ${nameOrValue}: unknown; valid: ${Object.keys(preprocessings).join(', ')}, or { mean, std, resize, crop }`,
  );
}

/** How images of any size get one size, as with torchvision's `Resize` and `CenterCrop`. `crop` is at most `resize`. */
export interface Geometry extends Required<Pick<Preprocessing, 'resize' | 'crop' | 'interpolation' | 'squash'>> {
  /** Order of the channels; `grey`: one channel, for preprocessings with one mean. */
  readonly order: 'rgb' | 'bgr' | 'grey';
}

export const channelsIn = ({ order }: Pick<Geometry, 'order'>): number => (order === 'grey' ? 1 : 3);

/** ImageNet's usual geometry. */
export const usualGeometry: Geometry = {
  resize: 256,
  crop: 224,
  interpolation: 'bilinear',
  squash: false,
  order: 'rgb',
};

/** An image's size after resizing, and the position of the crop, in pixels. */
export interface Placement {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
}

/** The geometry of a preprocessing; absent values are those of `otherwise`. @throws InputError if the sizes are invalid */
export function geometryOf(preprocessing: Partial<Preprocessing>, otherwise: Geometry): Geometry {
  const { resize, crop, interpolation, squash, order, mean } = preprocessing;
  const geometry: Geometry = {
    resize: resize ?? (crop === undefined ? otherwise.resize : Math.max(crop, otherwise.resize)),
    crop: crop ?? (resize === undefined ? otherwise.crop : Math.min(resize, otherwise.crop)),
    interpolation: interpolation ?? otherwise.interpolation,
    squash: squash ?? otherwise.squash,
    order:
      mean?.length === 1
        ? 'grey'
        : (order ?? (mean !== undefined && otherwise.order === 'grey' ? 'rgb' : otherwise.order)),
  };
  const valid = (side: number): boolean => Number.isInteger(side) && side >= 1 && side <= 4096;
  if (!valid(geometry.resize) || !valid(geometry.crop) || geometry.crop > geometry.resize) {
    throw new InputError(
      `preprocessing: resize ${geometry.resize}, crop ${geometry.crop}; valid: whole numbers from 1 to 4096, crop at most resize`,
    );
  }
  return geometry;
}

/** The placement of an image of this size (torchvision's `_compute_resized_output_size` and `center_crop`). */
export function placementOf(width: number, height: number, { resize, crop, squash }: Geometry): Placement {
  const longer = Math.trunc((resize * Math.max(width, height)) / Math.min(width, height));
  const [w, h] = squash ? [resize, resize] : width <= height ? [resize, longer] : [longer, resize];
  return { width: w, height: h, left: roundHalfToEven((w - crop) / 2), top: roundHalfToEven((h - crop) / 2) };
}

/** Python's `round`: halves go to the even neighbour, which affects half of all crops. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
