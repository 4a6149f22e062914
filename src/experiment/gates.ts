import { z } from 'zod';
import { confidenceKinds } from '../gates/confidence.js';
import { lossNames } from '../gates/loss.js';
import { solvers, withDefaults } from '../gates/solvers.js';
import type { Pooling } from '../networks/onnx.js';
import { choice, list, real, whole } from './rules.js';

/**
 * `gap`: the average of each channel; `NxN`: averages of N x N cells of each channel; `class-token`: the first of a
 * transformer's tokens.
 */
export type PoolingName = 'gap' | 'class-token' | '2x2' | '4x4' | '8x8' | `${number}x${number}`;

const poolings = 'gap, a grid such as 2x2 or 4x4, or class-token; one for all gates or a list with one for each';
const isPoolingName = (value: unknown): boolean =>
  typeof value === 'string' && /^(gap|class-token|([1-9]\d?)x\2)$/.test(value);
const pooling = z.custom<PoolingName>(isPoolingName, { error: poolings }).transform((value): Pooling => {
  if (value === 'class-token') return { kind: 'class-token' };
  return value === 'gap' ? { kind: 'gap' } : { kind: 'grid', size: Number.parseInt(value, 10) };
});

const stages = list(whole(1, 100), 'a list of stages, counted from 1: [1, 2]').min(1, { error: 'at least one stage' });

/** Where the gates of one network sit, and how they are trained. */
const inside = {
  /** Stages, counted from 1, after which a gate sits; never the last stage. */
  after: stages,
  /** One for all gates, or a list with one for each. Default `gap`. */
  pooling: z.union([pooling, list(pooling, poolings)], { error: poolings }).prefault('gap'),
  /** What training minimises: the one-vs-all hinge (the paper's) or cross-entropy. Default `hinge`. */
  loss: choice(lossNames).default('hinge'),
  /** lambda of lambda/2 |w|^2. Default 0.002. */
  l2: real(1e-12, 1e3).default(0.002),
  /**
   * `optimum`: until the objective is shown to be within `gap` of its lowest value; `sgd`: stochastic steps alone, the
   * paper's plain procedure. By default `sgd` for the hinge, `optimum` for cross-entropy.
   */
  solver: choice(solvers).optional(),
  /** Relative duality gap that `optimum` reaches, hinge: in every class. Default 0.001. */
  gap: real(1e-9, 1).default(0.001),
  /** Passes over the training images, with `optimum` at most so many. By default 20; hinge to its `optimum`: 300. */
  epochs: whole(1, 100_000).optional(),
  /** Images of a stochastic step. Default 512. */
  batchSize: whole(1, 1_000_000).default(512),
};
const form = { error: 'an object: { after: [1, 2] }' };

/** The gates of an experiment. */
export const gatesSchema = z
  .strictObject(
    {
      ...inside,
      /** What is held against the threshold. Default `max`: the largest distance (the paper's). */
      confidence: choice(confidenceKinds).default('max'),
    },
    form,
  )
  .transform(withDefaults);

/** The gates inside a network of a cascade, which hold the cascade's confidence against their thresholds. */
export const insideGatesSchema = z.strictObject(inside, form).transform(withDefaults);
