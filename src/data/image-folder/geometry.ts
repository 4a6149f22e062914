import { InputError } from '../../errors.js';
import type { Preprocessing } from '../preprocess.js';

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const half = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
/** Pixels as they are, 0 to 255: for networks that normalise them themselves. */
const bytes = { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] };
const caffeMean = [103.939, 116.779, 123.68].map((value) => value / 255);

/**
 * Preprocessings by the names of those who publish networks. Pixels are scaled to [0, 1] before mean and std.
 *
 * `torchvision`: most weights of version 1; `-v2`: weights named V2 of ResNets. `timm`: crop_pct 0.875 and 0.95, cubic
 * (its config.json says which; shorter side = crop / crop_pct, rounded down). `keras-*`: `preprocess_input` in the modes
 * tf, torch and caffe, both sides made 224 long; with an antialiased filter, as `tf.image.resize` has it with
 * antialias=True (Keras' loaders take the nearest pixel or no antialiasing by default).
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
    mean: caffeMean,
    std: [1 / 255, 1 / 255, 1 / 255],
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

/** How images of any size become images of one size, as torchvision's `Resize` and `CenterCrop` do it. */
export interface Geometry {
  /** Length of the shorter side after resizing, in pixels; `squash`: of both sides. */
  readonly resize: number;
  /** Side of the square that is cut from the centre, in pixels; at most `resize`. */
  readonly crop: number;
  /** PIL's filters, antialiased: their support grows with the factor by which an image shrinks. */
  readonly interpolation: 'bilinear' | 'bicubic';
  /** Whether both sides become `resize` pixels long (Keras), instead of the shorter one only. */
  readonly squash: boolean;
  /**
   * Channels red, green, blue (the default) or blue, green, red (Caffe's order, Keras' older networks); `grey`: one channel,
   * for networks whose preprocessing has one mean.
   */
  readonly order: 'rgb' | 'bgr' | 'grey';
}

/** Channels of an image. */
export const channelsIn = ({ order }: Pick<Geometry, 'order'>): number => (order === 'grey' ? 1 : 3);

/** ImageNet's usual: shorter side 256, centre 224. */
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

/**
 * The geometry of a preprocessing; absent values are taken from `otherwise`.
 *
 * @throws InputError if the sizes are invalid
 */
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
