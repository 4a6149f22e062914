/**
 * What hinge.ts and cross-entropy.ts share: gates on the features of an experiment's training images, trained here and by
 * scikit-learn on the same standardised features for the same objective,
 *
 *   mean loss + lambda/2 (|V|^2 + |a|^2), lambda = 0.002, which is C = 1 / (lambda n) in scikit-learn's terms.
 *
 * Features come from the cache (DGATE_CACHE), or are extracted into it first. Our time is that of all that training does,
 * scaling of the features included; scikit-learn's that of `fit` alone, on features scaled before.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openContext } from '../../src/cli/context.js';
import { loadDefinition } from '../../src/experiment/load.js';
import { resolveExperiment } from '../../src/experiment/resolve.js';
import type { Scaling, TrainingData } from '../../src/gates/contracts.js';
import type { Loss } from '../../src/gates/loss.js';
import { ScalingAccumulator } from '../../src/gates/precondition.js';
import { LazyEngine } from '../../src/run/context.js';
import { extract, extractionOf } from '../../src/run/extract.js';
import type { FeatureSet } from '../../src/run/features.js';
import { openImages } from '../../src/run/images.js';
import { openSource, plan } from '../../src/run/plan.js';
import { trainingData } from '../../src/run/train.js';
import { startScript } from '../runner/python-script.js';

/** What experiments train with where they do not say. */
export const l2 = 0.002;

/** One gate's problem. */
export interface Subject {
  readonly data: TrainingData;
  readonly scaling: Scaling;
  /** Standardised features, [count, features] row-major */
  readonly x: Float32Array;
  readonly labels: Int32Array;
}

/** How scikit-learn is asked. */
export interface Ask {
  readonly loss: Loss;
  /** The type of the features: which is faster. */
  readonly precision: 'float32' | 'float64';
  readonly iterations: number;
  /** null: its own. */
  readonly tolerance: number | null;
}

export interface Fit {
  readonly seconds: number;
  /** Seconds of the processor. */
  readonly processor: number;
  readonly iterations: number;
  /** [classes, features] row-major */
  readonly weights: readonly number[];
  readonly intercepts: readonly number[];
}

/** scikit-learn, with one gate's problem loaded. */
export interface LinearPeer {
  readonly version: string;
  readonly fit: (ask: Ask) => Promise<Fit>;
}

/** Does something for each gate of an experiment, with scikit-learn started on it. @returns what was found, together */
export async function forGates<Found>(
  experiment: string,
  preset: 'laptop' | 'smoke',
  work: (subject: Subject, peer: LinearPeer) => Promise<Found[]>,
): Promise<Found[]> {
  const features = await trainingFeatures(experiment, preset);
  const found: Found[] = [];
  for (const gate of features.widths.keys()) {
    const subject = await openSubject(features, gate);
    const folder = await mkdtemp(join(tmpdir(), 'dgate-bench-'));
    const files = [join(folder, 'x.bin'), join(folder, 'labels.bin')] as const;
    try {
      await writeFile(files[0], new Uint8Array(subject.x.buffer));
      await writeFile(files[1], new Uint8Array(subject.labels.buffer));
      const script = await startScript<{ version: string }>('linear_gates.py', [...files, `${subject.data.features}`]);
      const fit = (ask: Ask): Promise<Fit> => script.ask(JSON.stringify({ ...ask, c: 1 / (l2 * subject.data.count) }));
      try {
        found.push(...(await work(subject, { version: script.hello.version, fit })));
      } finally {
        await script.close();
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return found;
}

async function trainingFeatures(name: string, preset: 'laptop' | 'smoke'): Promise<FeatureSet> {
  const context = await openContext({});
  const { exported, where } = await loadDefinition(name);
  const experiment = resolveExperiment(exported, where, preset);
  const planned = await plan(experiment);
  const source = await openSource(context, experiment, planned);
  const { train } = await openImages(context, experiment, source);
  const engine = new LazyEngine(experiment.engine);
  return extract(context, extractionOf(context, source, train!, planned.places, engine, 'training'));
}

async function openSubject(set: FeatureSet, gate: number): Promise<Subject> {
  const data = await trainingData(set, gate);
  const { count, features } = data;
  const accumulator = new ScalingAccumulator(features);
  const [x, labels] = [new Float32Array(count * features), new Int32Array(count)];
  let start = 0;
  for await (const batch of data.batches(4096)) {
    accumulator.add(batch.x);
    x.set(batch.x, start * features);
    labels.set(batch.labels, start);
    start += batch.labels.length;
  }
  const scaling = accumulator.result();
  for (let i = 0; i < x.length; i++) x[i] = (x[i]! - scaling.mean[i % features]!) * scaling.inverse[i % features]!;
  return { data, scaling, x, labels };
}

/**
 * The least count that is enough, to a tenth: doubled from a first guess until one is, then halved in between.
 *
 * @param enough undefined: more are not to be tried
 * @returns undefined where `most` is not enough
 */
export async function fewest(
  guess: number,
  most: number,
  enough: (count: number) => Promise<boolean | undefined>,
): Promise<number | undefined> {
  let [tooFew, found] = [0, Math.min(guess, most)];
  for (let tried = await enough(found); tried !== true; tried = await enough(found)) {
    if (found === most || tried === undefined) return undefined;
    [tooFew, found] = [found, Math.min(most, 2 * found)];
  }
  while (found - tooFew > Math.max(1, 0.1 * found)) {
    const middle = Math.floor((tooFew + found) / 2);
    if (await enough(middle)) found = middle;
    else tooFew = middle;
  }
  return found;
}

export function objectiveOfFit(loss: Loss, subject: Subject, { weights, intercepts }: Fit): number {
  const a = Float64Array.from(intercepts, (intercept) => -intercept);
  return objectiveOf(loss, subject, Float64Array.from(weights), a);
}

/** Mean loss + lambda/2 (|V|^2 + |a|^2) in double precision. @param v [classes, features] @param a [classes] */
export function objectiveOf(loss: Loss, { x, labels, data }: Subject, v: Float64Array, a: Float64Array): number {
  const { features, classes } = data;
  const d = new Float64Array(classes);
  let total = 0;
  for (let image = 0; image < labels.length; image++) {
    for (let c = 0; c < classes; c++) {
      let sum = -a[c]!;
      for (let f = 0; f < features; f++) sum += x[image * features + f]! * v[c * features + f]!;
      d[c] = sum;
    }
    total += loss === 'hinge' ? hingeLoss(d, labels[image]!) : crossEntropyLoss(d, labels[image]!);
  }
  const squares = [...v, ...a].reduce((sum, value) => sum + value * value, 0);
  return total / labels.length + (l2 / 2) * squares;
}

function hingeLoss(d: Float64Array, label: number): number {
  return d.reduce((sum, value, c) => sum + Math.max(0, 1 - (c === label ? value : -value)), 0);
}

function crossEntropyLoss(d: Float64Array, label: number): number {
  const largest = Math.max(...d);
  return largest + Math.log(d.reduce((sum, value) => sum + Math.exp(value - largest), 0)) - d[label]!;
}
