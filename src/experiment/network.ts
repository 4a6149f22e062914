import { z } from 'zod';
import { type PreprocessingName, preprocessings } from '../data/preprocess.js';
import { confidenceKinds, ownKinds } from '../gates/confidence.js';
import { gateTargets, lossNames, solvers, withPasses } from '../gates/loss.js';
import type { Pooling } from '../networks/onnx.js';
import { choice, type DeepReadonly, isPlain, list, type Plain, real, text, whole } from './rules.js';

// Gates.

/** `gap`: the mean of each channel; `NxN`: means of N x N cells of each channel; `class-token`: a transformer's first token. */
export type PoolingName = 'gap' | 'class-token' | '2x2' | '4x4' | '8x8' | `${number}x${number}`;

const poolings = 'gap, a grid such as 2x2 or 4x4, or class-token; one for all gates or a list with one for each';
const isPoolingName = (value: unknown): boolean =>
  typeof value === 'string' && /^(gap|class-token|([1-9]\d?)x\2)$/.test(value);
const pooling = z.custom<PoolingName>(isPoolingName, { error: poolings }).transform(poolingNamed);

export function poolingNamed(name: PoolingName): Pooling {
  if (name === 'class-token') return { kind: 'class-token' };
  return name === 'gap' ? { kind: 'gap' } : { kind: 'grid', size: Number.parseInt(name, 10) };
}

const lambda = real(1e-12, 1e3);
const lambdas = 'a number from 1e-12 to 1000, or a list of such numbers: [0.0005, 0.002, 0.008]';
const stages = list(whole(1, 100), 'a list of stages, counted from 1: [1, 2]').min(1, { error: 'at least one stage' });

const inside = {
  /** Stages with a gate behind them, counted from 1; never the last stage. */
  after: stages,
  /** One for all gates, or a list with one for each. Default `gap`. */
  pooling: z.union([pooling, list(pooling, poolings)], { error: poolings }).prefault('gap'),
  /** What training minimises: the one-vs-all hinge (the paper's) or cross-entropy. Default `hinge`. */
  loss: choice(lossNames).default('hinge'),
  /**
   * What gates learn: the `labels`, or the softmax of the `network` itself, with `loss: 'cross-entropy'`: the divergence of
   * Kullback and Leibler from it, and no label. Default `labels`.
   */
  target: choice(gateTargets).default('labels'),
  /** `survivors`: a training image counts as often as it is likely to reach the gate, by the gates before; by default all count alike. */
  weights: choice(['equal', 'survivors']).optional(),
  /** Each gate but the first also takes the distances of the gate before it, as further features; by default not. */
  previous: z.boolean({ error: 'true or false' }).optional(),
  /**
   * lambda of lambda/2 |w|^2. With a list each gate is trained with each, and the one is taken that is most accurate on the held-out
   * choosing images (docs/thresholds.md). Default 0.002.
   */
  l2: z.union([lambda, list(lambda, lambdas).min(1, { error: lambdas })], { error: lambdas }).default(0.002),
  /**
   * `optimum`: train until the objective is proven to be within `gap` of its minimum; `sgd`: stochastic steps alone, the paper's
   * procedure. Default `optimum`.
   */
  solver: choice(solvers).default('optimum'),
  /** Relative duality gap at which `optimum` stops; for the hinge in each class. Default 0.001. */
  gap: real(1e-9, 1).default(0.001),
  /** Passes over the training images; a maximum for `optimum`. By default 20; 1000 for the hinge with `optimum`. */
  epochs: whole(1, 100_000).optional(),
  /** Images of a stochastic step. Default 512. */
  batchSize: whole(1, 1_000_000).default(512),
};
const best = "'best' with one network, without gatesAfter: 'own'; else { after: [1, 2], confidence: 'difference' }";
const own = "'own' with an ONNX file without gatesAfter; else { after: [1, 2] }";
const form = {
  error: ({ input }: { readonly input?: unknown }) =>
    input === 'best' ? best : input === 'own' ? own : 'an object: { after: [1, 2] }',
};

const calibrate = z.boolean({ error: 'true or false' }).optional();

/** The gates of an experiment. */
export const gatesSchema = z
  .strictObject(
    {
      ...inside,
      /**
       * What is compared with the threshold. `patience` and `average` look back at the exits before; `failure` is fitted on the
       * choosing images (docs/policies.md). Default `max`: the largest distance (the paper's).
       */
      confidence: choice(confidenceKinds).default('max'),
      /** Divides each exit's numbers by a temperature before the softmax, fitted on the choosing images; by default not. */
      calibrate: calibrate,
    },
    form,
  )
  .transform(withPasses);

/** The gates inside a network of a cascade; they use the cascade's confidence. */
const insideGatesSchema = z.strictObject(inside, form).transform(withPasses);

// A user's network, images and scores.

const names = Object.keys(preprocessings) as [PreprocessingName, ...PreprocessingName[]];
const validPreprocessing = `${names.join(', ')}, or { mean: [r, g, b], std: [r, g, b], resize, crop }`;
const channels = (item: z.ZodType<number>, valid: string) =>
  list(item, valid).refine(({ length }) => length === 1 || length === 3, { error: valid });

const numbers = z
  .strictObject({
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
    /** Resizes both sides and ignores the aspect ratio. */
    squash: z.boolean({ error: 'true or false' }).optional(),
    /** Order of the channels. Default `rgb`. */
    order: choice(['rgb', 'bgr']).optional(),
  })
  .superRefine(({ mean, std, resize, crop }, { addIssue }) => {
    if (mean.length !== std.length) {
      addIssue({ code: 'custom', path: ['std'], message: `as many numbers as mean has: ${mean.length}`, input: std });
    }
    if (resize !== undefined && crop !== undefined && crop > resize) {
      addIssue({ code: 'custom', path: ['crop'], message: `a whole number from 1 to resize: ${resize}`, input: crop });
    }
  });
const preprocess = z.union([choice(names), numbers], { error: validPreprocessing });

const placings = z.enum(['auto', 'spread', 'own']);
const tensors = "a list of tensors (dgate model inspect FILE), 'auto', 'spread' or 'own'";

/** A user's network: an ONNX file that maps one image to a number for each class. */
const onnxNetworkSchema = z.strictObject({
  kind: z.literal('onnx'),
  /** Path of the file, relative to the definition's file. */
  file: text('the path of an ONNX file', /./),
  /**
   * Names of the tensors that gates can read, in their order (`dgate model inspect FILE` lists them); `gates.after` counts
   * in this list. Default `auto`: those that `inspect` proposes; `spread`: one near each tenth of the FLOPs; `own`: the exits
   * that the file has itself.
   */
  gatesAfter: z
    .union([placings, list(text('the name of a tensor', /./), tensors).min(1, { error: tensors })], { error: tensors })
    .default('auto'),
  /** `best`: gates read them as those of `gates: 'best'` do; by default as `gates.pooling` says. */
  pooling: choice(['best']).optional(),
  /** Name of the output, or of a value inside, with a number for each class. Default: the file's only output. */
  logits: text('the name of an output', /./).optional(),
  /** Height and width of its images in pixels, if the file does not fix them. */
  inputSize: z.tuple([whole(1, 4096), whole(1, 4096)], { error: '[height, width] in pixels' }).optional(),
  /** How the network wants its pixels, unless the dataset says it: a name or numbers. */
  preprocess: preprocess.optional(),
});

/** A user's images: `<folder>/<class>/<image>`, or `<folder>/train/<class>/` next to `<folder>/test/<class>/`. */
export const imageFolderSchema = z.strictObject({
  kind: z.literal('image-folder'),
  /** Path of the folder, relative to the definition's file. */
  folder: text('the path of a folder of class folders', /./),
  /** How the network wants its pixels: a name or numbers. */
  preprocess,
  /** Share of each class's images in the test split; for a folder without splits. Default 0.2. */
  testShare: real(0.001, 0.999).default(0.2),
  /** Seeds that division. Default 0. */
  seed: whole(0, 2 ** 31).default(0),
});

/** The outputs of a network's exits in a file (docs/scores.md); no images, weights or engine are needed. */
const scoresSchema = z.strictObject({
  kind: z.literal('scores'),
  /** Path of the .npz, .safetensors or .csv file of the reported images, relative to the definition's file. */
  file: text('the path of a .npz, .safetensors or .csv file', /./),
  /** The same for other images, which then choose the thresholds. Without it, thresholds are chosen by cross-fit. */
  choosing: text('the path of a .npz, .safetensors or .csv file', /./).optional(),
  /** What is compared with the thresholds, for files with logits. */
  confidence: choice(ownKinds).default('softmax'),
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

// Networks and cascades of them.

const network = "<architecture>-<dataset>, see: dgate list networks; or onnxNetwork('model.onnx')";
const networks = "at least two networks: [{ network: 'resnet20-cifar10' }, { network: 'resnet56-cifar10' }]";
export const checkpointRule = text('a checkpoint id (dgate list checkpoints) or the path of a file', /./);

/** A network with its weights. */
export const memberSchema = z.strictObject(
  {
    /** `<architecture>-<dataset>`, or `onnxNetwork('model.onnx')`. */
    network: z.union([text(network, /^\S+$/), onnxNetworkSchema], { error: network }),
    /** Id of a known checkpoint or the path of a file; the one that ships if absent. */
    checkpoint: checkpointRule.optional(),
  },
  { error: "an object: { network: 'resnet20-cifar10', checkpoint }" },
);

const cascadeMemberSchema = memberSchema.extend({
  /** Gates inside the network: further exits. */
  gates: insideGatesSchema.optional(),
});

/**
 * Networks on the same classes in sequence. An image leaves after the first network whose confidence reaches its threshold, or at
 * a gate inside one; the last network classifies the rest. Only gates inside are trained.
 */
const cascadeSchema = z.strictObject({
  kind: z.literal('cascade'),
  /** From the cheapest to the most expensive; each prepares its own pixels. */
  networks: list(cascadeMemberSchema, networks).min(2, { error: networks }),
  /** What is compared with the thresholds. */
  confidence: choice(confidenceKinds).default('softmax'),
  /** Divides each exit's numbers by a temperature before the softmax, fitted on the choosing images; by default not. */
  calibrate: calibrate,
});

export type CascadeDefinition = DeepReadonly<z.input<typeof cascadeSchema>>;
type CascadeChoice = z.output<typeof cascadeSchema>;

/** A sequence of networks as an experiment's `network`. */
export function cascade(
  networks: CascadeDefinition['networks'],
  options: Omit<CascadeDefinition, 'kind' | 'networks'> = {},
): CascadeDefinition {
  return { kind: 'cascade', networks, ...options };
}

const anyNetwork =
  "<architecture>-<dataset>, see: dgate list networks; onnxNetwork('model.onnx'), cascade([...]), or scores('scores.npz')";
export const networkSchema = z.union([text(anyNetwork, /^\S+$/), onnxNetworkSchema, cascadeSchema, scoresSchema], {
  error: anyNetwork,
});
type NetworkChoice = z.output<typeof networkSchema>;

export const isCascade = (network: NetworkChoice): network is CascadeChoice =>
  typeof network !== 'string' && network.kind === 'cascade';

export const isScores = (network: NetworkChoice): network is ScoresChoice =>
  typeof network !== 'string' && network.kind === 'scores';

/** Whether its exits are those of its ONNX file. */
export const hasOwnExits = (network: NetworkChoice): boolean =>
  typeof network !== 'string' && network.kind === 'onnx' && network.gatesAfter === 'own';

/** Whether gates are trained. */
export const learns = (network: NetworkChoice): boolean =>
  !isScores(network) &&
  !hasOwnExits(network) &&
  (!isCascade(network) || network.networks.some(({ gates }) => gates !== undefined));

/** The name of a system with thresholds: `dg(1.25)`, or `cascade(0.93)`. */
export const systemName = (chosen: NetworkChoice): 'cascade' | 'dg' => (isCascade(chosen) ? 'cascade' : 'dg');

export function networkLabel(chosen: NetworkChoice): string {
  if (isCascade(chosen)) return `cascade of ${chosen.networks.map((one) => networkLabel(one.network)).join(', ')}`;
  return typeof chosen === 'string' ? chosen : chosen.file;
}

/**
 * The definition of a cascade or a file of scores with its exits as gates, in the order of their cost. One gate stands for all
 * exits of a file of scores, whose number is known only after reading it.
 */
export function withDerivedGates(definition: Plain): Plain {
  const { network: chosen, gates } = definition;
  if (!isPlain(chosen) || (chosen['kind'] !== 'cascade' && chosen['kind'] !== 'scores') || gates !== undefined) {
    return definition;
  }
  const given: unknown = chosen['networks'];
  const members: readonly unknown[] = Array.isArray(given) ? given : [];
  const inside = members.map((member) => {
    const own = isPlain(member) && isPlain(member['gates']) ? member['gates']['after'] : undefined;
    return Array.isArray(own) ? own.length : 0;
  });
  // One exit behind each network but the last, and the gates inside.
  const count = inside.reduce((sum, own) => sum + own, Math.max(2, members.length) - 1);
  const after = Array.from({ length: count }, (_, i) => i + 1);
  const { confidence = 'softmax', calibrate } = chosen;
  const isCalibrated = chosen['kind'] === 'cascade' && calibrate !== undefined;
  return { ...definition, gates: { after, confidence, ...(isCalibrated && { calibrate }) } };
}
