import type { Experiment } from '../experiment/schema.js';
import { isUser, type LoadedNetwork } from '../onnx/network.js';
import { modelName } from '../report/rows.js';
import type { AnalysisContext } from '../run/analyses.js';
import type { FeatureSet } from '../run/features.js';
import { withRepair } from '../run/run.js';
import { computeScores } from '../run/score.js';
import { originalAccuracy, type Part, type Row, searchAndEvaluate } from '../run/search.js';
import { networksOf } from '../run/source.js';
import { openStages, type Stages, scoredParts } from '../run/stages.js';
import { canonicalJson, flatten, sha256 } from '../store/files.js';
import { type Evaluation, type ExitCosts, evaluate, type Scores, type Thresholds } from '../thresholds/evaluate.js';
import { nearThreshold, probeGates, shares, thresholdsAtRanks, thresholdsInGaps } from './probes.js';

/**
 * The accepted difference: engines and processors add up in different orders. See `tolerances`. A `note` never fails;
 * it explains why another measure did. A `given` value comes from the baseline and is not measured.
 */
export type Tolerance = number | 'note' | 'given';

/** A number or hash that a check compares. */
export interface Measure {
  /** The measured object: `gate 1`, `dg(1.00, 0.60, 1.50)`. */
  readonly item: string;
  /** The measured quantity with its unit: `objective`, `flops_per_image`. */
  readonly quantity: string;
  readonly value: number | string;
  /** Largest accepted difference; 0: exactly the same. */
  readonly tolerance: Tolerance;
}

/**
 * Derived from differences between ort-cpu, tfjs-node and tfjs-wasm on the same code (docs/ci.md).
 *
 * Features differ by 1e-8 (root mean squares), and smooth functions of them by little more. Trained gates differ more,
 * rarely but then in the third digit: with a thousand images and hundreds of features, a rounding error that moves one
 * image across the kink of the hinge changes the gate. Therefore exits are compared exactly only for untrained gates
 * (`probes.ts`) and for ranks; trained gates are compared by their results, within these:
 */
const tolerances = {
  /** Root mean squares of features and logits, relative. */
  features: 1e-6,
  /** Objectives of gates, relative. */
  objective: 2e-3,
  /** Confidences of trained gates: images this close to a threshold may leave at another exit. */
  confidence: 0.02,
  /** Images per image whose class a trained gate may change. */
  imagesForOne: 100,
  /** FLOPs of searched thresholds on the selection images, as a share of the original's. */
  search: 0.01,
} as const;

/** Thresholds stored in a baseline, by item. */
export type BaselineThresholds = ReadonlyMap<string, Thresholds>;

/** Runs an experiment up to its scores and takes the measures of a check. @param given thresholds of a baseline */
export function measure(
  context: AnalysisContext,
  experiment: Experiment,
  given?: BaselineThresholds,
): Promise<Measure[]> {
  return withRepair(context, async () => {
    const stages = await openStages(context, experiment);
    const gates = await stages.train();
    const { scores, parts } = await scoredParts(stages, gates);
    const { plan, features, sets, images, source } = stages;
    return [
      ...definitionMeasures(experiment, stages),
      exact('network', 'parameters', plan.flops.parameters),
      exact('network', 'flops_per_image', plan.flops.flops),
      ...plan.costs.map((flops, i) => exact(exitName(i, plan.costs), 'flops_per_image', flops)),
      ...(await Promise.all(
        networksOf(source).map(async (each, i, all) =>
          exact(
            i === all.length - 1 ? 'weights' : `weights of network ${i + 1}`,
            'sha256',
            weightsHash(await each.lowered()),
          ),
        ),
      )),
      ...Object.entries(images).flatMap(([split, { count, sha256: hash }]) => [
        exact(splitName(split), 'images', count),
        exact(splitName(split), 'sha256', hash),
      ]),
      exact('validation', 'sha256', partsHash(parts)),
      ...(
        await Promise.all(
          sets.map(({ test }, i) => featureMeasures(test, i === sets.length - 1 ? 'original' : `network ${i + 1}`)),
        )
      ).flat(),
      ...gates.map(({ reached }, index) =>
        relative(`gate ${index + 1}`, 'objective', reached.objective, tolerances.objective),
      ),
      accuracyOf(
        'original',
        originalAccuracy(
          scores.test,
          scores.test.labels.map((_, i) => i),
        ),
        scores.test.count,
      ),
      ...(features.train === undefined || plan.members !== undefined
        ? []
        : probeRows(
            await computeScores([features.test], probeGates(features.train), experiment.gates.confidence),
            plan.costs,
            given,
          )),
      ...trainedRows(experiment, scores.test, plan.costs),
      ...searchMeasures(searchAndEvaluate(experiment, parts, plan.costs, plan.flops.flops), plan.flops.flops),
    ];
  });
}

const exact = (item: string, quantity: string, value: number | string): Measure => {
  return { item, quantity, value, tolerance: 0 };
};

const relative = (item: string, quantity: string, value: number, share: number): Measure => {
  return { item, quantity, value, tolerance: share * Math.abs(value) };
};

const accuracyOf = (item: string, accuracy: number, count: number): Measure => {
  const images = Math.ceil(count / tolerances.imagesForOne);
  return { item, quantity: 'accuracy_fraction', value: accuracy, tolerance: images / count };
};

const exitName = (exit: number, costs: ExitCosts): string =>
  exit === costs.length - 1 ? 'last exit' : `exit ${exit + 1}`;

const splitName = (split: string): string => `${split === 'heldOut' ? 'held-out' : split} images`;

/** Every value of the definition, so that the table of differences shows their cause. */
function definitionMeasures(experiment: Experiment, { engine, source }: Stages): Measure[] {
  const { title: _, checkpoint: __, name: ___, ...rest } = experiment;
  const checkpoint = networksOf(source)
    .map((each) => each.checkpoint.sha256)
    .join(', ');
  const noted = { ...rest, engine: engine.entry.id, checkpoint };
  return flatten(noted).map(([quantity, value]) => ({ item: 'definition', quantity, value, tolerance: 'note' }));
}

/** Hash of all weights as passed to the engines, independent of the file format. */
function weightsHash(network: LoadedNetwork): string {
  if (isUser(network)) return network.graph.model.file.sha256;
  const hashes: string[] = [];
  const walk = (value: unknown): void => {
    if (value instanceof Float32Array) {
      hashes.push(sha256(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)));
    } else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) walk(item);
  };
  walk(network);
  return sha256(hashes.join());
}

/** Hash of the positions of selection and evaluation images. */
function partsHash(parts: readonly Part[]): string {
  return sha256(
    canonicalJson(parts.map(({ selection, evaluation }) => [[...selection.images], [...evaluation.images]])),
  );
}

/** Root mean squares over the test images: sensitive to weights and preprocessing, not to rounding. */
async function featureMeasures(features: FeatureSet, network: string): Promise<Measure[]> {
  const sums = features.widths.map(() => 0);
  let ofLogits = 0;
  const squares = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0);
  for await (const shard of features.shards()) {
    for (const gate of sums.keys()) sums[gate]! += squares(shard.features(gate));
    ofLogits += squares(shard.logits);
  }
  const rms = (sum: number, width: number): number => Math.sqrt(sum / (features.count * width));
  return [
    ...sums.map((sum, gate) =>
      relative(`gate ${gate + 1}`, 'features_rms', rms(sum, features.widths[gate]!), tolerances.features),
    ),
    relative(network, 'logits_rms', rms(ofLogits, features.classes), tolerances.features),
  ];
}

/** Exits of untrained gates at thresholds of the baseline, far from every confidence: the same on every engine. */
function probeRows(scores: Scores, costs: ExitCosts, given: BaselineThresholds | undefined): Measure[] {
  return shares.flatMap((share) => {
    const item = `untrained gates, about ${100 * share} % leave at each`;
    const stored = given?.get(item);
    const thresholds = stored?.length === scores.confidences.length ? stored : thresholdsInGaps(scores, share);
    const stated = thresholds.map((value, gate): Measure => {
      return { item, quantity: `threshold${gate + 1}`, value, tolerance: 'given' };
    });
    return [...stated, ...rowMeasures(item, evaluate(scores, thresholds, costs), costs, 0)];
  });
}

/** Trained gates, at thresholds of fixed ranks, which determine the exits, and at the thresholds of the definition. */
function trainedRows(experiment: Experiment, scores: Scores, costs: ExitCosts): Measure[] {
  const atRanks = shares.flatMap((share) => {
    const item = `${100 * share} % leave at each gate, the last by just reaching the threshold`;
    return rowMeasures(item, evaluate(scores, thresholdsAtRanks(scores, share), costs), costs, 0);
  });
  const fixed = experiment.thresholds.fixed.flatMap((thresholds) => {
    const undecided = nearThreshold(scores, thresholds, tolerances.confidence);
    return rowMeasures(modelName([thresholds]), evaluate(scores, thresholds, costs), costs, undecided);
  });
  return [...atRanks, ...fixed];
}

/** @param undecided images whose exit depends on rounding */
function rowMeasures(item: string, row: Evaluation, costs: ExitCosts, undecided: number): Measure[] {
  const { accuracy, exits, flops, count } = row;
  const flopsTolerance = (undecided * Math.max(...costs)) / count;
  const { tolerance, ...known } = accuracyOf(item, accuracy, count);
  return [
    ...exits.map((value, i): Measure => {
      return { item, quantity: `${exitName(i, costs).replace(' ', '_')}_images`, value, tolerance: undecided };
    }),
    { item, quantity: 'flops_per_image', value: flops, tolerance: flopsTolerance },
    { ...known, tolerance: (tolerance as number) + undecided / count },
  ];
}

/**
 * Results of searches and guarantees on the selection images: the fewest FLOPs at a margin. Near-ties between
 * thresholds do not change the FLOPs, but may change the thresholds.
 */
function searchMeasures(rows: readonly Row[], originalFlops: number): Measure[] {
  return rows.flatMap(({ kind, margin, search, budget, disagreement, guarantee, validation }) => {
    if (validation === undefined) return [];
    const items: Readonly<Record<Row['kind'], string>> = {
      margin: `${search} search, margin ${margin}`,
      budget: `budget ${budget}`,
      disagreement: `other answers ${disagreement}`,
      guarantee: `at most ${guarantee?.drop} lost, confidence ${guarantee?.confidence}`,
      fixed: '',
    };
    const item = items[kind];
    const tolerance = tolerances.search * originalFlops;
    return [{ item, quantity: 'validation_flops_per_image', value: validation.flops, tolerance }];
  });
}
