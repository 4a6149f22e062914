import { z } from 'zod';
import { guaranteeMethods } from '../thresholds/guarantee.js';
import { searchMethods } from '../thresholds/methods.js';
import { checkpointRule, gatesSchema, imageFolderSchema, memberSchema, networkSchema } from './network.js';
import { choice, list, presetNames, real, text, whole } from './rules.js';

const validation = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('cross-fit'),
      /** Parts of the test images; each is reported with thresholds chosen on the others. */
      folds: whole(2, 1000).default(2),
    }),
    z.strictObject({ kind: z.literal('held-out') }),
  ],
  { error: "{ kind: 'cross-fit', folds } or { kind: 'held-out' }" },
);

const marginRange = 'a share of accuracy from -0.5 to 0.5: 0.01 is one point, so 1 % is 0.01, not 1';
export const margin = real(-0.5, 0.5, marginRange);
const threshold = z.union([z.number(), z.literal(Number.POSITIVE_INFINITY)], {
  error: 'a number; Infinity closes a gate',
});

const searches = `${searchMethods.join(', ')}, or a list of several`;
const search = z
  .union([choice(searchMethods), list(choice(searchMethods), searches).min(1, { error: searches })], {
    error: searches,
  })
  .transform((value): readonly (typeof searchMethods)[number][] => (typeof value === 'string' ? [value] : value));

const share = 'a share between 0 and 1: 0.005 is half a point';
export const guarantee = z
  .strictObject(
    {
      /** Accuracy lost at most, on average on new images; a share. */
      drop: real(1e-6, 0.999, share).optional(),
      /** Instead of `drop`: share of new images with another answer than the original's. No label is used. */
      disagreement: real(1e-6, 0.999, share).optional(),
      /** Over the draw of the choosing images. */
      confidence: real(0.5, 0.9999).default(0.95),
      /** The test, chosen before the images are seen (docs/thresholds.md): `exact` by default. */
      method: choice(guaranteeMethods).optional(),
    },
    { error: 'an object: { drop: 0.005, confidence: 0.95 }' },
  )
  .refine((given) => (given.drop === undefined) !== (given.disagreement === undefined), {
    error: 'drop or disagreement, one of the two: { drop: 0.005, confidence: 0.95 }',
  });

const thresholds = z.strictObject(
  {
    /** Accuracies to reach, as margins below the original's: 0.01 is one point. Each is a row. */
    margins: list(margin, 'a list of margins: [0.005, 0.01]').default([]),
    /** Average FLOPs, as shares of the original's: 0.5 is half. Each is a row: the most accurate thresholds within the budget. */
    budgets: list(
      real(1e-6, 1, 'a share of the FLOPs above 0 and up to 1: 0.5 is half'),
      'a list of shares: [0.25, 0.5]',
    ).optional(),
    /**
     * Average milliseconds of an image, one at a time. Each is a row: the most accurate thresholds within it, by the times of the
     * exits that `dgate time` has put on record on this machine.
     */
    latencyMs: list(real(1e-6, 1e6, 'milliseconds above 0'), 'a list of milliseconds: [2.5]').optional(),
    /**
     * Adds intervals that include the choice of thresholds: a bootstrap of this many replicates draws choosing and reported images
     * and searches the thresholds of each margin and budget again. Default: none; 200 take seconds to minutes.
     */
    resamples: whole(20, 100_000).optional(),
    /** Shares of images that may get another answer than the original's. Each is a row, by the joint search without labels. */
    disagreements: list(real(0, 0.999, share), 'a list of shares: [0.005, 0.01]').optional(),
    /**
     * A threshold for each predicted class: an offset of each class and gate, fitted on the choosing images (where a promise is
     * asked for, on those that propose), is added to the confidence before the search (docs/policies.md); by default not.
     */
    perClass: z.boolean({ error: 'true or false' }).optional(),
    /** Given thresholds, one number per gate. Each is a row. */
    fixed: list(list(threshold, 'one threshold for each gate: [1, 1]'), 'a list of lists: [[1, 1], [2, 2]]').default(
      [],
    ),
    /**
     * How thresholds are searched for a margin. `joint` (default): all gates together, for the fewest FLOPs. `sequential`,
     * `lookahead`, `coordinate`: readings of the paper's section 3.1 (docs/thresholds.md). A list adds a row for each and compares
     * them.
     */
    search: search.prefault('joint'),
    /**
     * A row with a guarantee: with this confidence (default 0.95) over the draw of the choosing images, the expected accuracy on
     * new images of the same distribution is at most `drop` below the original's (0.005 is half a point). If no thresholds can
     * be certified, the gates stay closed.
     */
    guarantee: guarantee.optional(),
    /**
     * The images that choose thresholds. `cross-fit` (default, 2 folds): each fold of the test images is reported with thresholds
     * chosen on the others; for networks that have seen all training images. `held-out`: training images that the network has
     * not learnt from, named by its checkpoint (`dgate train` records them).
     */
    validation: validation.prefault({ kind: 'cross-fit' }),
  },
  { error: 'an object: { margins: [0.01] }' },
);

export const imagesText = "imageFolder('dir', { preprocess }), or a dataset, see: dgate list datasets";

const weightsKey = 'keys and prefix of the weights in the file: state_dict.teacher';
const seedList = 'a list of seeds: [0, 1, 2]';

/** A definition without its analysis, with its preset, overrides and defaults applied. */
export const definitionSchema = z.strictObject({
  /** Letters, digits and dashes; the folder of its results. */
  name: text('letters, digits and dashes', /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/),
  /** One line over the table. */
  title: text('one line of text', /^[^\n]+$/),
  /**
   * `<architecture>-<dataset>`, see `dgate list networks`; an ONNX file: `onnxNetwork('model.onnx')`; a sequence of networks, with
   * or without gates inside: `cascade([{ network, checkpoint, gates }, ...])`; or recorded outputs of a network's exits, without
   * `gates` and `dataset`: `scores('scores.npz')`.
   */
  network: networkSchema,
  /** Images of a user's ONNX network: `imageFolder('dir', { preprocess })`, or a name of `dgate list datasets`. */
  dataset: z.union([text(imagesText, /^\S+$/), imageFolderSchema], { error: imagesText }).optional(),
  /**
   * A folder of images without labels that replace the test images. Only agreement with the original network can then be asked
   * for: disagreements, budgets, a guarantee of a disagreement.
   */
  unlabelled: text('the path of a folder of images', /./).optional(),
  /** Id of a known checkpoint (`dgate list checkpoints`) or the path of a file; `--checkpoint` overrides it. */
  checkpoint: checkpointRule.optional(),
  /** Which weights of the checkpoint's file to take if several fit, and which to leave out; `--key` and `--ignore`. */
  weights: z
    .strictObject(
      {
        /** Keys of the dictionary and prefix of the names, with dots between them. */
        key: text(weightsKey, /./).optional(),
        /** Names to leave out, with commas between them; `*` is any text. */
        ignore: text("names: '*total_ops,*total_params'", /./).optional(),
      },
      { error: "an object: { key: 'state_dict_ema' }" },
    )
    .optional(),
  /** Seeds the choice of images, the folds and the order of training. Default 0. */
  seed: whole(0, 2 ** 31).default(0),
  /** Runs the experiment with each of these seeds and tabulates them together; `--seeds 0..4` overrides it. */
  seeds: list(whole(0, 2 ** 31), seedList)
    .min(1, { error: seedList })
    .optional(),
  /** Default `auto`: `ort-cpu`, on all machines. Others: `dgate list engines`. */
  engine: text('an engine, see: dgate list engines', /^\S+$/).default('auto'),
  /**
   * Runs the network with 8-bit weights and activations, calibrated on training images; gates and thresholds are those of its
   * own scores, and margins and promises count from its own last answer. Default: float32. `--int8`.
   */
  int8: z.boolean({ error: 'true or false' }).optional(),
  /** Table of the paper (`results/published/<name>.csv`) to print next to the margins, in the same order. */
  published: text('a table of results/published: table1', /^[\w-]+$/).optional(),
  /** Number of training images for the gates, a stratified choice; all by default. */
  trainImages: whole(1).optional(),
  /** Number of test images, a stratified choice; all by default. */
  testImages: whole(1).optional(),
  /** Where gates sit and how they are trained. */
  gates: gatesSchema,
  /** Rows of the table, and how their thresholds are chosen. */
  thresholds,
  /**
   * Networks on the same classes to compare with, `[{ network, checkpoint }]`. A list, even an empty one, adds a table of all
   * systems, each exit alone included, and of which system dominates which.
   */
  baselines: list(memberSchema, "a list of networks: [{ network: 'resnet20-cifar10', checkpoint }]").optional(),
});

export interface Experiment extends z.output<typeof definitionSchema> {
  /** What is studied besides the table; `paper` declares the kinds. */
  readonly analysis?: { readonly kind: string } | undefined;
}

/** An experiment without its analysis and presets, as a user writes it. */
export type ExperimentInput = z.input<typeof definitionSchema>;

const size = z.record(z.string(), z.unknown(), { error: 'an object of what differs' }).optional();
/** A definition's changes for each size of a run. */
export const presetsSchema = z.strictObject(Object.fromEntries(presetNames.map((name) => [name, size])), {
  error: `an object with the keys ${presetNames.join(', ')}`,
});
