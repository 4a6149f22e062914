import { z } from 'zod';
import { type PreprocessingName, preprocessings } from '../data/image-folder/geometry.js';
import { confidenceKinds } from '../gates/confidence.js';
import { choice, type DeepReadonly, list, real, text, whole } from './rules.js';

const names = Object.keys(preprocessings) as [PreprocessingName, ...PreprocessingName[]];
const validPreprocessing = `${names.join(', ')}, or { mean: [r, g, b], std: [r, g, b], resize, crop }`;
const channels = (item: z.ZodType<number>, valid: string) =>
  list(item, valid).refine(({ length }) => length === 1 || length === 3, { error: valid });
const preprocess = z.union([choice(names), preprocessingSchema()], { error: validPreprocessing });

/** A preprocessing in numbers; pixels are scaled to 0 to 1 before. */
function preprocessingSchema() {
  const schema = z.strictObject({
    /** Subtracted from each channel of the scaled pixels. */
    mean: channels(real(-1000, 1000), 'one number for each of 1 or 3 channels'),
    /** Each channel is divided by it. */
    std: channels(real(1e-6, 1e6), 'one number above 0 for each of 1 or 3 channels'),
    /** The shorter side in pixels; both sides with `squash`. */
    resize: whole(1, 4096).optional(),
    /** Side in pixels of the square that is cut from the centre. */
    crop: whole(1, 4096).optional(),
    /** How pixels are resampled. Default `bilinear`. */
    interpolation: choice(['bilinear', 'bicubic']).optional(),
    /** Resizes both sides, whatever the shape of the image. */
    squash: z.boolean({ error: 'true or false' }).optional(),
    /** Order of the channels. Default `rgb`. */
    order: choice(['rgb', 'bgr']).optional(),
  });
  return schema.superRefine(({ mean, std, resize, crop }, context) => {
    if (mean.length !== std.length) {
      const message = `as many numbers as mean has: ${mean.length}`;
      context.addIssue({ code: 'custom', path: ['std'], message, input: std });
    }
    if (resize !== undefined && crop !== undefined && crop > resize) {
      const message = `a whole number from 1 to resize: ${resize}`;
      context.addIssue({ code: 'custom', path: ['crop'], message, input: crop });
    }
  });
}

const tensors = "a list of tensors (dgate model inspect FILE), 'auto' or 'spread'";

/** A user's network: an ONNX file, one image in, a number for each class out. */
export const onnxNetworkSchema = z.strictObject({
  kind: z.literal('onnx'),
  /** Path of the file, as seen from the definition's file. */
  file: text('the path of an ONNX file', /./),
  /**
   * Names of the tensors that gates can read, in their order (`dgate model inspect FILE` lists them); `gates.after` counts
   * in this list. Default `auto`: those that `inspect` proposes; `spread`: one near each tenth of the FLOPs.
   */
  gatesAfter: z
    .union([z.enum(['auto', 'spread']), list(text('the name of a tensor', /./), tensors).min(1, { error: tensors })], {
      error: tensors,
    })
    .default('auto'),
  /** Name of the output, or of a value inside, with a number for each class. Default: the file's only output. */
  logits: text('the name of an output', /./).optional(),
  /** Height and width of its images in pixels, where the file leaves them open. */
  inputSize: z.tuple([whole(1, 4096), whole(1, 4096)], { error: '[height, width] in pixels' }).optional(),
  /** How the network wants its pixels, where the dataset does not say it: a name or numbers. */
  preprocess: preprocess.optional(),
});

/** A user's images: `<folder>/<class>/<image>`, or `<folder>/train/<class>/` next to `<folder>/test/<class>/`. */
export const imageFolderSchema = z.strictObject({
  kind: z.literal('image-folder'),
  /** Path of the folder, as seen from the definition's file. */
  folder: text('the path of a folder of class folders', /./),
  /** How the network wants its pixels: a name or numbers. */
  preprocess,
  /** Share of the images that become the test split, with every class's share; for a folder without splits. Default 0.2. */
  testShare: real(0.001, 0.999).default(0.2),
  /** Seeds that division. Default 0. */
  seed: whole(0, 2 ** 31).default(0),
});

/**
 * A network of which there is nothing but what each of its exits said of each image: a file of scores (docs/scores.md). It
 * needs no images, no weights and no engine.
 */
export const scoresSchema = z.strictObject({
  kind: z.literal('scores'),
  /** Path of the .npz, .safetensors or .csv file of the reported images, as seen from the definition's file. */
  file: text('the path of a .npz, .safetensors or .csv file', /./),
  /** The same of other images, on which thresholds are then chosen. Without it they are chosen by cross-fit. */
  choosing: text('the path of a .npz, .safetensors or .csv file', /./).optional(),
  /** What of an exit's logits is held against its threshold, where the files have logits. */
  confidence: choice(confidenceKinds).default('softmax'),
});

export type ScoresDefinition = DeepReadonly<z.input<typeof scoresSchema>>;
export type ScoresChoice = z.output<typeof scoresSchema>;
export type OnnxNetworkDefinition = DeepReadonly<z.input<typeof onnxNetworkSchema>>;
export type ImageFolderDefinition = DeepReadonly<z.input<typeof imageFolderSchema>>;
export type OnnxNetworkChoice = z.output<typeof onnxNetworkSchema>;
export type ImageFolderChoice = z.output<typeof imageFolderSchema>;

/** An ONNX file as an experiment's `network`. */
export function onnxNetwork(
  file: string,
  options: Omit<OnnxNetworkDefinition, 'kind' | 'file'> = {},
): OnnxNetworkDefinition {
  return { kind: 'onnx', file, ...options };
}

/** A folder of images as an experiment's `dataset`. */
export function imageFolder(
  folder: string,
  options: Omit<ImageFolderDefinition, 'kind' | 'folder'>,
): ImageFolderDefinition {
  return { kind: 'image-folder', folder, ...options };
}

/** A file of scores as an experiment's `network`. */
export function scores(file: string, options: Omit<ScoresDefinition, 'kind' | 'file'> = {}): ScoresDefinition {
  return { kind: 'scores', file, ...options };
}
