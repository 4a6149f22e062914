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
