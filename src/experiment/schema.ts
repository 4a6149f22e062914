import { z } from 'zod';
import { confidenceKinds } from '../gates/confidence.js';
import { lossNames } from '../gates/loss.js';
import type { Pooling } from '../networks/pooling.js';
import { searchMethods } from '../thresholds/methods.js';
import { analysisProblems, analysisSchema } from './analysis.js';
import { type PresetName, presetNames } from './definition.js';
import { imageFolderSchema, onnxNetworkSchema } from './own-network.js';
import { choice, list, real, text, whole } from './rules.js';

const poolings = 'gap, a grid such as 2x2 or 4x4, or class-token; one for all gates or a list with one for each';
const pooling = text(poolings, /^(gap|class-token|([1-9]\d?)x\2)$/).transform((value): Pooling => {
  if (value === 'class-token') return { kind: 'class-token' };
  return value === 'gap' ? { kind: 'gap' } : { kind: 'grid', size: Number.parseInt(value, 10) };
});

const stages = list(whole(1, 100), 'a list of stages, counted from 1: [1, 2]').min(1, { error: 'at least one stage' });

const gates = z.strictObject(
  {
    after: stages,
    pooling: z.union([pooling, list(pooling, poolings)], { error: poolings }).prefault('gap'),
    loss: choice(lossNames).default('hinge'),
    confidence: choice(confidenceKinds).default('max'),
    l2: real(1e-12, 1e3).default(0.002),
    epochs: whole(1, 100_000).default(20),
    batchSize: whole(1, 1_000_000).default(512),
  },
  { error: 'an object: { after: [1, 2] }' },
);

const validation = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('cross-fit'), folds: whole(2, 1000).default(2) }),
    z.strictObject({ kind: z.literal('held-out') }),
  ],
  { error: "{ kind: 'cross-fit', folds } or { kind: 'held-out' }" },
);

const margin = real(-1, 1, 'a share of accuracy from -1 to 1: 0.01 is one point');
const threshold = z.union([z.number(), z.literal(Number.POSITIVE_INFINITY)], {
  error: 'a number; Infinity closes a gate',
});

const searches = `${searchMethods.join(', ')}, or a list of both`;
const search = z
  .union([choice(searchMethods), list(choice(searchMethods), searches).min(1, { error: searches })], {
    error: searches,
  })
  .transform((value): readonly (typeof searchMethods)[number][] => (typeof value === 'string' ? [value] : value));

const share = 'a share between 0 and 1: 0.005 is half a point';
const guarantee = z.strictObject(
  { drop: real(1e-6, 0.999, share), confidence: real(0.5, 0.9999).default(0.95) },
  { error: 'an object: { drop: 0.005, confidence: 0.95 }' },
);

const thresholds = z.strictObject(
  {
    margins: list(margin, 'a list of margins: [0.005, 0.01]').default([]),
    fixed: list(list(threshold, 'one threshold for each gate: [1, 1]'), 'a list of lists: [[1, 1], [2, 2]]').default(
      [],
    ),
    search: search.prefault('joint'),
    guarantee: guarantee.optional(),
    validation: validation.prefault({ kind: 'cross-fit' }),
  },
  { error: 'an object: { margins: [0.01] }' },
);

const networks = "<architecture>-<dataset>, see: dgate list networks; or onnxNetwork('model.onnx')";
const images = "imageFolder('dir', { preprocess }), or a dataset, see: dgate list datasets";

const seedList = 'a list of seeds: [0, 1, 2]';

/** A definition after its preset and all overrides, checked, with every default filled in. */
export const experimentSchema = z
  .strictObject({
    name: text('letters, digits and dashes', /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/),
    title: text('one line of text', /^[^\n]+$/),
    network: z.union([text(networks, /^\S+$/), onnxNetworkSchema], { error: networks }),
    dataset: z.union([text(images, /^\S+$/), imageFolderSchema], { error: images }).optional(),
    checkpoint: text('a checkpoint id (dgate list checkpoints) or the path of a file', /./).optional(),
    seed: whole(0, 2 ** 31).default(0),
    seeds: list(whole(0, 2 ** 31), seedList)
      .min(1, { error: seedList })
      .optional(),
    engine: text('an engine, see: dgate list engines', /^\S+$/).default('auto'),
    published: text('a table of results/published: table1', /^[\w-]+$/).optional(),
    trainImages: whole(1).optional(),
    testImages: whole(1).optional(),
    gates,
    thresholds,
    analysis: analysisSchema.optional(),
  })
  .superRefine((experiment, context) => {
    const count = experiment.gates.after.length;
    experiment.thresholds.fixed.forEach((row, index) => {
      if (row.length === count) return;
      const message = `${count === 1 ? 'one threshold' : `${count} thresholds`}, one for each gate`;
      context.addIssue({ code: 'custom', path: ['thresholds', 'fixed', index], message, input: row });
    });
    const { after } = experiment.gates;
    if (after.some((stage, i) => i > 0 && stage <= after[i - 1]!)) {
      const message = 'stages in their order, none twice: [1, 2]';
      context.addIssue({ code: 'custom', path: ['gates', 'after'], message, input: after });
    }
    const isOwn = typeof experiment.network !== 'string';
    if (isOwn && experiment.dataset === undefined) {
      context.addIssue({ code: 'custom', path: ['dataset'], message: images, input: undefined });
    }
    if (!isOwn && experiment.dataset !== undefined) {
      const message = "left out: the network's name says it; with onnxNetwork(...) only";
      context.addIssue({ code: 'custom', path: ['dataset'], message, input: experiment.dataset });
    }
    if (isOwn && experiment.checkpoint !== undefined) {
      const message = 'left out: an ONNX file holds its weights';
      context.addIssue({ code: 'custom', path: ['checkpoint'], message, input: experiment.checkpoint });
    }
    const { pooling } = experiment.gates;
    if (Array.isArray(pooling) && pooling.length !== count) {
      const message = `one pooling, or a list of ${count}, one for each gate`;
      context.addIssue({ code: 'custom', path: ['gates', 'pooling'], message, input: pooling });
    }
    for (const { path, message, input } of analysisProblems(experiment)) {
      context.addIssue({ code: 'custom', path: ['analysis', ...path], message, input });
    }
    const { fixed, margins, guarantee } = experiment.thresholds;
    const rows = fixed.length + margins.length + (guarantee === undefined ? 0 : 1);
    if (rows === 0 && experiment.analysis === undefined) {
      const message = 'at least one margin or one row of fixed thresholds, or an analysis';
      context.addIssue({ code: 'custom', path: ['thresholds'], message, input: experiment.thresholds });
    }
  });

export type Experiment = z.output<typeof experimentSchema>;

/** Keys that a definition file may have besides the experiment's own. */
const size = z.record(z.string(), z.unknown(), { error: 'an object of what differs' }).optional();
export const presetsSchema = z.strictObject({ paper: size, laptop: size, quick: size, smoke: size } satisfies Presets, {
  error: `an object with the keys ${presetNames.join(', ')}`,
});
type Presets = Record<PresetName, typeof size>;
