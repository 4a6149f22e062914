import { z } from 'zod';
import { guaranteeMethods } from '../thresholds/guarantee.js';
import { searchMethods } from '../thresholds/names.js';
import { cascadeSchema, isCascade, isScores, learns, memberSchema, withDerivedGates } from './cascade.js';
import { gatesSchema } from './gates.js';
import { imageFolderSchema, onnxNetworkSchema, scoresSchema } from './own-network.js';
import { presetNames } from './presets.js';
import { choice, list, real, text, whole } from './rules.js';

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
const margin = real(-0.5, 0.5, marginRange);
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
const guarantee = z
  .strictObject(
    {
      /** Accuracy lost at most, on average on new images; a share. */
      drop: real(1e-6, 0.999, share).optional(),
      /** Instead of `drop`: share of new images with another answer than the original's. No label is used. */
      disagreement: real(1e-6, 0.999, share).optional(),
      /** Over the draw of the choosing images. */
      confidence: real(0.5, 0.9999).default(0.95),
      /** How it is tested, chosen before the images are seen (docs/thresholds.md): `exact` where it is left out. */
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
    /**
     * Average FLOPs to keep, as shares of the original's: 0.5 is half. Each is a row: the joint thresholds of all gates that
     * answer the most choosing images right within it.
     */
    budgets: list(
      real(1e-6, 1, 'a share of the FLOPs above 0 and up to 1: 0.5 is half'),
      'a list of shares: [0.25, 0.5]',
    ).optional(),
    /**
     * Second intervals that take in the choice of thresholds: so many times choosing and reported images are both drawn
     * anew, and the thresholds of each margin and budget are searched again. Default: none; 200 take seconds to minutes.
     */
    resamples: whole(20, 100_000).optional(),
    /**
     * Shares of images that may get another answer than the original's. Each is a row, by the joint search; no label is used.
     */
    disagreements: list(real(0, 0.999, share), 'a list of shares: [0.005, 0.01]').optional(),
    /** Thresholds to apply unchanged, one number per gate. Each is a row. */
    fixed: list(list(threshold, 'one threshold for each gate: [1, 1]'), 'a list of lists: [[1, 1], [2, 2]]').default(
      [],
    ),
    /**
     * How thresholds are searched for a margin. `joint` (default): those of all gates together, for the fewest FLOPs.
     * Readings of the paper's section 3.1: `sequential`, `lookahead`, `coordinate` (docs/thresholds.md). A list: a row for
     * each, and how far they are apart.
     */
    search: search.prefault('joint'),
    /**
     * A row of thresholds with a guarantee: with this confidence (default 0.95) over the draw of the choosing images, the
     * expected accuracy on new images of the same distribution is at most `drop` below the original's (0.005 is half a
     * point). Where no thresholds can be certified the gates stay closed.
     */
    guarantee: guarantee.optional(),
    /**
     * Where thresholds are chosen. `cross-fit` (default, 2 folds): the test images are divided in folds, and each is
     * reported with thresholds chosen on the others; for networks that have seen all training images. `held-out`: the
     * training images that the network has not learnt from, which its checkpoint names (`dgate train` records them).
     */
    validation: validation.prefault({ kind: 'cross-fit' }),
  },
  { error: 'an object: { margins: [0.01] }' },
);

const networks =
  "<architecture>-<dataset>, see: dgate list networks; onnxNetwork('model.onnx'), cascade([...]), or scores('scores.npz')";
const images = "imageFolder('dir', { preprocess }), or a dataset, see: dgate list datasets";

const weightsKey = 'keys and prefix of the weights in the file: state_dict.teacher';

const seedList = 'a list of seeds: [0, 1, 2]';

/** A definition without its analysis, after its preset and all overrides, checked, with every default filled in. */
const base = z.strictObject({
  /** Letters, digits and dashes; the folder of its results. */
  name: text('letters, digits and dashes', /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/),
  /** One line over the table. */
  title: text('one line of text', /^[^\n]+$/),
  /**
   * `<architecture>-<dataset>`, see `dgate list networks`; an ONNX file: `onnxNetwork('model.onnx')`; or several networks,
   * one after the other, with gates inside or without: `cascade([{ network, checkpoint, gates }, ...])`; or what the exits of
   * any network said, without `gates` and `dataset`: `scores('scores.npz')`.
   */
  network: z.union([text(networks, /^\S+$/), onnxNetworkSchema, cascadeSchema, scoresSchema], { error: networks }),
  /** Images of a user's ONNX network: `imageFolder('dir', { preprocess })`, or a name of `dgate list datasets`. */
  dataset: z.union([text(images, /^\S+$/), imageFolderSchema], { error: images }).optional(),
  /**
   * A folder of images without labels, in the place of the test images: thresholds are chosen and reported on them. Nothing
   * but agreement with the original network can be asked for: disagreements, budgets, a guarantee of a disagreement.
   */
  unlabelled: text('the path of a folder of images', /./).optional(),
  /** Id of a known checkpoint (`dgate list checkpoints`) or the path of a file; `--checkpoint` overrides it. */
  checkpoint: text('a checkpoint id (dgate list checkpoints) or the path of a file', /./).optional(),
  /** Which weights of the checkpoint's file are taken, where several fit, and what of it is left out; `--key` and `--ignore`. */
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
  /** The experiment is run once for each of these seeds, and a table of all of them made; `--seeds 0..4` overrides it. */
  seeds: list(whole(0, 2 ** 31), seedList)
    .min(1, { error: seedList })
    .optional(),
  /** Default `auto`: `ort-cpu`, on every machine. Others are asked for by name (dgate list engines). */
  engine: text('an engine, see: dgate list engines', /^\S+$/).default('auto'),
  /** Table of the paper (`results/published/<name>.csv`) whose rows are printed next to the margins, in the same order. */
  published: text('a table of results/published: table1', /^[\w-]+$/).optional(),
  /** Number of training images that the gates learn from, a stratified choice; all by default. */
  trainImages: whole(1).optional(),
  /** Number of test images, a stratified choice; all by default. */
  testImages: whole(1).optional(),
  /** Where gates sit and how they are trained. */
  gates: gatesSchema,
  /** Rows of the table, and how their thresholds are chosen. */
  thresholds,
  /**
   * Networks on the same classes that stand beside the rows, `[{ network, checkpoint }]`; with a list, also an empty one, what
   * each exit would be alone stands there too, and each system that a cheaper one dominates says by which.
   */
  baselines: list(memberSchema, "a list of networks: [{ network: 'resnet20-cifar10', checkpoint }]").optional(),
});

/** What an experiment studies besides its table; `paper` declares the kinds. */
interface AnalysisOptions {
  readonly kind: string;
}

export interface Experiment extends z.output<typeof base> {
  readonly analysis?: AnalysisOptions | undefined;
}

/** What is wrong with a value of a definition. */
export interface OptionProblem {
  /** Keys from the analysis on. */
  readonly path: readonly PropertyKey[];
  /** What would be valid. */
  readonly message: string;
  readonly input: unknown;
}

/** One kind of analysis: the schema of its options, and what of them does not fit the rest of the experiment. */
export interface AnalysisKind {
  readonly options: z.ZodObject<{ kind: z.ZodLiteral<string> }>;
  problems?(options: unknown, experiment: Experiment): OptionProblem[];
}

/** The schema of experiments with these kinds of analyses. */
export function experimentSchemaOf(kinds: readonly AnalysisKind[]) {
  const named = kinds.map(({ options }) => `{ kind: '${options.shape.kind.value}' }`);
  const error =
    named.length === 0
      ? 'left out: no analysis is known here'
      : `${named.slice(0, -1).join(', ')} or ${named.at(-1)!}, with their options`;
  const [first, ...others] = kinds.map(({ options }) => options);
  const analysis =
    first === undefined ? z.never({ error }) : z.discriminatedUnion('kind', [first, ...others], { error });
  return base
    .extend({
      /** What is studied besides the table. */
      analysis: analysis.optional(),
    })
    .superRefine((experiment, context) => {
      const kind = kinds.find(({ options }) => options.shape.kind.value === experiment.analysis?.kind);
      for (const { path, message, input } of kind?.problems?.(experiment.analysis, experiment) ?? []) {
        context.addIssue({ code: 'custom', path: ['analysis', ...path], message, input });
      }
      for (const { path, message, input } of problemsOf(experiment)) {
        context.addIssue({ code: 'custom', path: [...path], message, input });
      }
    });
}
/** An experiment without its analysis and presets, as a user writes it. */
export type ExperimentInput = z.input<typeof base>;
export type ExperimentSchema = ReturnType<typeof experimentSchemaOf>;

/** What does not fit between a cascade and the rest of its experiment. */
function cascadeProblems(experiment: Experiment): OptionProblem[] {
  const { network, dataset, unlabelled, checkpoint, weights, trainImages, gates: given } = experiment;
  if (!isCascade(network)) return [];
  const needsImages = unlabelled === undefined || learns(network);
  const derived = gatesSchema.parse(withDerivedGates({ network })['gates']);
  const onnxOnly = network.networks.every((member) => typeof member.network !== 'string');
  const exits =
    'left out: an image can leave after each network of a cascade, and at the gates that a network has itself';
  const named = "left out: the networks' names say it; with ONNX files only";
  const all: [wrong: boolean, path: string, input: unknown, message: string][] = [
    [JSON.stringify(given) !== JSON.stringify(derived), 'gates', given, exits],
    [checkpoint !== undefined, 'checkpoint', checkpoint, 'left out: each network of a cascade has its own'],
    [
      weights !== undefined,
      'weights',
      weights,
      'left out: dgate model import takes the weights of one network from a file',
    ],
    [
      trainImages !== undefined && !learns(network),
      'trainImages',
      trainImages,
      'left out: a cascade without gates trains nothing',
    ],
    [onnxOnly && dataset === undefined && needsImages, 'dataset', dataset, images],
    [!onnxOnly && dataset !== undefined, 'dataset', dataset, named],
  ];
  return [
    ...all.flatMap(([wrong, path, input, message]) => (wrong ? [{ path: [path], message, input }] : [])),
    ...network.networks.flatMap(({ gates: own }, i) =>
      own === undefined ? [] : gateProblems(['network', 'networks', i, 'gates'], own),
    ),
  ];
}

/** What asks for the labels of images that have none. */
function unlabelledProblems({ unlabelled, thresholds, ...others }: Experiment): OptionProblem[] {
  if (unlabelled === undefined) return [];
  const { margins, guarantee, validation } = thresholds;
  const drop = guarantee?.drop;
  const own = "{ kind: 'cross-fit' }: images without labels choose thresholds for each other";
  const all: (readonly [wrong: boolean, path: string, input: unknown, message: string])[] = [
    [margins.length > 0, 'thresholds.margins', margins, 'left out: accuracy needs labels, disagreements: [0.01] none'],
    [drop !== undefined, 'thresholds.guarantee.drop', drop, 'disagreement: accuracy needs labels'],
    [validation.kind !== 'cross-fit', 'thresholds.validation', validation, own],
    ...(['analysis', 'baselines', 'published'] as const).map((key) => {
      return [others[key] !== undefined, key, others[key], 'left out: accuracy needs labels'] as const;
    }),
  ];
  return all.flatMap(([wrong, path, input, message]) => (wrong ? [{ path: path.split('.'), message, input }] : []));
}

/** What does not fit between the values of some gates. @param path where they stand in the definition */
function gateProblems(
  path: readonly PropertyKey[],
  { after, pooling }: Pick<Experiment['gates'], 'after' | 'pooling'>,
) {
  const ascending = after.every((stage, i) => i === 0 || stage > after[i - 1]!);
  const poolings = `one pooling, or a list of ${after.length}, one for each gate`;
  const misfit = Array.isArray(pooling) && pooling.length !== after.length;
  return [
    ...(ascending
      ? []
      : [{ path: [...path, 'after'], message: 'stages in their order, none twice: [1, 2]', input: after }]),
    ...(misfit ? [{ path: [...path, 'pooling'], message: poolings, input: pooling }] : []),
  ];
}

/** What does not fit between a file of scores and the rest of its experiment. */
function scoresProblems(experiment: Experiment): OptionProblem[] {
  const { network, gates: given, thresholds, analysis, baselines = [] } = experiment;
  if (!isScores(network)) return [];
  const derived = gatesSchema.parse(withDerivedGates({ network })['gates']);
  const none = (['dataset', 'unlabelled', 'checkpoint', 'trainImages', 'testImages'] as const).map(
    (key) => [experiment[key] !== undefined, key, experiment[key], 'left out: the file of scores is all'] as const,
  );
  const { kind } = thresholds.validation;
  const all: (readonly [wrong: boolean, path: string, input: unknown, message: string])[] = [
    ...none,
    [JSON.stringify(given) !== JSON.stringify(derived), 'gates', given, 'left out: exits and costs are in the file'],
    [baselines.length > 0, 'baselines', baselines, 'left out, or []: there are no images to run networks on'],
    [analysis !== undefined && analysis.kind !== 'frontier', 'analysis', analysis, "{ kind: 'frontier' }, or left out"],
    [
      (kind === 'held-out') !== (network.choosing !== undefined),
      'thresholds.validation',
      thresholds.validation,
      "{ kind: 'held-out' } with scores(file, { choosing }), { kind: 'cross-fit' } without",
    ],
  ];
  return all.flatMap(([wrong, path, input, message]) => (wrong ? [{ path: path.split('.'), message, input }] : []));
}

/** What does not fit between the values of an experiment. */
function problemsOf(experiment: Experiment): OptionProblem[] {
  const { network, dataset, checkpoint, weights, gates, thresholds, analysis } = experiment;
  const { after } = gates;
  const { fixed, margins, budgets = [], disagreements = [], guarantee } = thresholds;
  const isOwn = typeof network !== 'string' && network.kind === 'onnx';
  const problems: OptionProblem[] = [
    ...cascadeProblems(experiment),
    ...scoresProblems(experiment),
    ...unlabelledProblems(experiment),
    ...gateProblems(['gates'], gates),
  ];
  const refuse = (wrong: boolean, path: string, input: unknown, message: string): void => {
    if (wrong) problems.push({ path: path.split('.'), message, input });
  };
  fixed.forEach((row, index) => {
    const valid = `${after.length === 1 ? 'one threshold' : `${after.length} thresholds`}, one for each gate`;
    // How many exits a file of scores has is known once it is read.
    refuse(row.length !== after.length && !isScores(network), `thresholds.fixed.${index}`, row, valid);
  });
  refuse(isOwn && dataset === undefined, 'dataset', undefined, images);
  const named = "left out: the network's name says it; with onnxNetwork(...) only";
  refuse(typeof network === 'string' && dataset !== undefined, 'dataset', dataset, named);
  refuse(isOwn && checkpoint !== undefined, 'checkpoint', checkpoint, 'left out: an ONNX file holds its weights');
  refuse(isOwn && weights !== undefined, 'weights', weights, 'left out: an ONNX file holds one set of weights');
  const rows =
    fixed.length + margins.length + budgets.length + disagreements.length + (guarantee === undefined ? 0 : 1);
  const oneRow = 'at least one margin, budget or row of fixed thresholds, or an analysis';
  refuse(rows === 0 && analysis === undefined, 'thresholds', thresholds, oneRow);
  return problems;
}

/** Keys that a definition file may have besides the experiment's own. */
const size = z.record(z.string(), z.unknown(), { error: 'an object of what differs' }).optional();
export const presetsSchema = z.strictObject(Object.fromEntries(presetNames.map((name) => [name, size])), {
  error: `an object with the keys ${presetNames.join(', ')}`,
});
