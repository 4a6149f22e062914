import { InputError } from '../../errors.js';
import type { Preprocessing } from '../preprocess.js';

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
