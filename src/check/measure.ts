import { csvOf, listAt, parseCsv } from '../csv.js';
import { InputError } from '../errors.js';
import { csvCell } from '../escape.js';
import type { Experiment } from '../experiment/schema.js';
import { decimalNumber } from '../json.js';
import { modelName } from '../report/rows.js';
import { withRepair } from '../run/run.js';
import { computeScores } from '../run/score.js';
import { originalAccuracy, type Row, searchAndEvaluate } from '../run/search.js';
import { networksOf } from '../run/source.js';
import type { AnalysisContext } from '../run/stages.js';
import { openStages, type Stages, scoredParts } from '../run/stages.js';
import { flatten, readTextIfThere } from '../store/files.js';
import { type Evaluation, type ExitCosts, evaluate, type Scores, type Thresholds } from '../thresholds/evaluate.js';
import {
  featureRms,
  nearThreshold,
  partsHash,
  probeGates,
  shares,
  thresholdsAtRanks,
  thresholdsInGaps,
  weightsHash,
} from './probes.js';

/**
 * The accepted difference, 0 for none: engines and processors add up in different orders. A `note` never fails; it
 * explains other failures. A `given` value comes from the baseline and is not measured.
 */
export type Tolerance = number | 'note' | 'given';

/** A number or hash that a check compares. */
export interface Measure {
  /** The measured object: `gate 1`, `dg(1.00, 0.60, 1.50)`. */
  readonly item: string;
  /** The measured quantity with its unit: `objective`, `flops_per_image`. */
  readonly quantity: string;
  readonly value: number | string;
  readonly tolerance: Tolerance;
}

/**
 * From differences between ort-cpu, tfjs-node and tfjs-wasm on the same code (docs/ci.md). Features differ by 1e-8 (root
 * mean squares). Trained gates rarely differ, but then in the third digit: one image moves across the kink of the hinge.
 * So exits are compared exactly only for untrained gates (`probes.ts`) and at ranks, trained gates within these:
 */
const tolerances = {
  /** Root mean squares of features and logits, relative. */
  features: 1e-6,
  /** Objectives of gates, relative. */
  objective: 2e-3,
  /** Confidences of trained gates: an image this close to a threshold may leave at another exit. */
  confidence: 0.02,
  /** One of so many images may get another class from a trained gate. */
  imagesForOne: 100,
  /** FLOPs of searched thresholds on the selection images, as a share of the original's. */
  search: 0.01,
} as const;

/** Thresholds stored in a baseline, by item. */
type BaselineThresholds = ReadonlyMap<string, Thresholds>;

/** Runs an experiment up to its scores and measures it. @param given thresholds of a baseline */
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
    const searched = searchAndEvaluate(experiment, parts, plan.costs, plan.flops.flops, stages.exitMs);
    return [
      ...definitionMeasures(experiment, stages),
      exact('network', 'parameters', plan.flops.parameters),
      exact('network', 'flops_per_image', plan.flops.flops),
      ...plan.costs.map((flops, i) => exact(exitName(i, plan.costs), 'flops_per_image', flops)),
      ...(await Promise.all(
        networksOf(source).map(async (each, i, { length }) => {
          const item = i === length - 1 ? 'weights' : `weights of network ${i + 1}`;
          return exact(item, 'sha256', weightsHash(await each.lowered()));
        }),
      )),
      ...Object.entries(images).flatMap(([split, { count, sha256: hash }]) => {
        const item = `${split === 'heldOut' ? 'held-out' : split} images`;
        return [exact(item, 'images', count), exact(item, 'sha256', hash)];
      }),
      exact('validation', 'sha256', partsHash(parts)),
      ...(
        await Promise.all(
          sets.map(async ({ test }, i, { length }) =>
            featureMeasures(await featureRms(test), i === length - 1 ? 'original' : `network ${i + 1}`),
          ),
        )
      ).flat(),
      ...gates.map(({ reached }, index) =>
        relative(`gate ${index + 1}`, 'objective', reached.objective, tolerances.objective),
      ),
      accuracyOf('original', originalAccuracy(scores.test), scores.test.count),
      ...(features.train === undefined || plan.members !== undefined
        ? []
        : probeRows(
            await computeScores([features.test], probeGates(features.train), experiment.gates.confidence),
            plan.costs,
            given,
          )),
      ...trainedRows(experiment, scores.test, plan.costs),
      ...searchMeasures(searched, plan.flops.flops),
    ];
  });
}

const exact = (item: string, quantity: string, value: number | string): Measure => ({
  item,
  quantity,
  value,
  tolerance: 0,
});

const relative = (item: string, quantity: string, value: number, share: number): Measure => {
  return { item, quantity, value, tolerance: share * Math.abs(value) };
};

const accuracyOf = (item: string, accuracy: number, count: number): Measure => {
  const images = Math.ceil(count / tolerances.imagesForOne);
  return { item, quantity: 'accuracy_fraction', value: accuracy, tolerance: images / count };
};

const exitName = (exit: number, costs: ExitCosts): string =>
  exit === costs.length - 1 ? 'last exit' : `exit ${exit + 1}`;

/** Every value of the definition: the likely cause of a difference. */
function definitionMeasures(experiment: Experiment, { engine, source }: Stages): Measure[] {
  const { title: _, checkpoint: __, name: ___, ...rest } = experiment;
  const checkpoint = networksOf(source)
    .map((each) => each.checkpoint.sha256)
    .join(', ');
  const noted = { ...rest, engine: engine.entry.id, checkpoint };
  return flatten(noted).map(([quantity, value]) => ({ item: 'definition', quantity, value, tolerance: 'note' }));
}

/** @param rms of each gate's features, then of the logits */
function featureMeasures(rms: readonly number[], network: string): Measure[] {
  return rms.map((value, i) => {
    const [item, quantity] = i < rms.length - 1 ? [`gate ${i + 1}`, 'features_rms'] : [network, 'logits_rms'];
    return relative(item!, quantity!, value, tolerances.features);
  });
}

/** Exits of untrained gates at thresholds far from every confidence: the same on every engine. */
function probeRows(scores: Scores, costs: ExitCosts, given: BaselineThresholds | undefined): Measure[] {
  return shares.flatMap((share) => {
    const item = `untrained gates, about ${100 * share} % leave at each`;
    const stored = given?.get(item);
    const thresholds = stored?.length === scores.confidences.length ? stored : thresholdsInGaps(scores, share);
    const stated = thresholds.map(
      (value, gate): Measure => ({ item, quantity: `threshold${gate + 1}`, value, tolerance: 'given' }),
    );
    return [...stated, ...rowMeasures(item, evaluate(scores, thresholds, costs), costs, 0)];
  });
}

/** Trained gates at thresholds of fixed ranks, which determine the exits, and at those of the definition. */
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

/** FLOPs of searched thresholds on the selection images. Near-ties change thresholds, but hardly FLOPs. */
function searchMeasures(rows: readonly Row[], originalFlops: number): Measure[] {
  return rows.flatMap(({ kind, margin, search, budget, disagreement, guarantee, validation }) => {
    if (validation === undefined || kind === 'latency') return []; // times differ from machine to machine
    const items: Record<Row['kind'], string> = {
      margin: `${search} search, margin ${margin}`,
      budget: `budget ${budget}`,
      latency: '',
      disagreement: `other answers ${disagreement}`,
      guarantee: `at most ${guarantee?.drop} lost, confidence ${guarantee?.confidence}`,
      fixed: '',
    };
    const tolerance = tolerances.search * originalFlops;
    return [{ item: items[kind], quantity: 'validation_flops_per_image', value: validation.flops, tolerance }];
  });
}

/** A difference between a baseline and a check. */
export interface Moved {
  readonly item: string;
  readonly quantity: string;
  /** Absent if the baseline lacks it. */
  readonly from?: number | string;
  /** Absent if the check lacks it. */
  readonly to?: number | string;
  /** to - from, of numbers. */
  readonly difference?: number;
  readonly tolerance: Tolerance;
  /** False for a note, which only explains. */
  readonly isRegression: boolean;
}

const columns = ['item', 'quantity', 'value', 'tolerance'] as const;

/** A baseline as CSV: plain numbers and their tolerances. */
export function renderBaseline(measures: readonly Measure[]): string {
  const records = measures.map(({ item, quantity, value, tolerance }) => [item, quantity, value, tolerance]);
  return csvOf([columns, ...records]);
}

/** A baseline; undefined without a file. @throws InputError if the file is not a baseline */
export async function readBaseline(path: string): Promise<Measure[] | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  const records = parseCsv(text, path);
  const odd = records.findIndex((record) => {
    const isWhole = columns.every((column) => record[column] !== undefined);
    return !isWhole || toleranceFrom(record['tolerance']!) === undefined;
  });
  if (odd >= 0 || records.length === 0) {
    const where = `${path}: ${odd >= 0 ? `line ${odd + 2}` : 'empty'}`;
    throw new InputError(`${where}; valid: ${columns.join(', ')} (dgate check --update replaces it)`);
  }
  return records.map(({ item, quantity, value, tolerance }) => {
    return { item: item!, quantity: quantity!, value: valueFrom(value!), tolerance: toleranceFrom(tolerance!)! };
  });
}

const isNumber = (text: string): boolean => decimalNumber(text.trim()) !== undefined;

/** A number if it prints as the same text; a hash may look like one (`1e5...`). */
function valueFrom(text: string): number | string {
  return isNumber(text) && String(Number(text)) === text ? Number(text) : text;
}

function toleranceFrom(text: string): Tolerance | undefined {
  if (text === 'note' || text === 'given') return text;
  return isNumber(text) && Number(text) >= 0 ? Number(text) : undefined;
}

export function givenThresholds(measures: readonly Measure[]): BaselineThresholds {
  const given = new Map<string, number[]>();
  for (const { item, value, tolerance } of measures) {
    if (tolerance === 'given') listAt(given, item).push(Number(value));
  }
  return given;
}

/**
 * Differences above their tolerances, in the order of the check; then the measures that only the baseline has. Empty
 * without a regression: notes only explain one.
 */
export function whatMoved(baseline: readonly Measure[], measures: readonly Measure[]): Moved[] {
  const key = ({ item, quantity }: Measure): string => `${csvCell(item)}\n${csvCell(quantity)}`;
  const before = new Map(baseline.map((measure) => [key(measure), measure]));
  const now = new Set(measures.map(key));
  const moved = measures.flatMap((measure): Moved[] => {
    const known = before.get(key(measure));
    const { item, quantity, value: to } = measure;
    if (known === undefined) return [{ item, quantity, to, ...judged(measure.tolerance) }];
    const from = known.value;
    const difference = typeof from === 'number' && typeof to === 'number' ? to - from : undefined;
    const allowed = typeof known.tolerance === 'number' ? known.tolerance : 0;
    // NaN always counts as moved.
    const isEqualText = String(csvCell(from)) === String(csvCell(to)) && String(to) !== 'NaN';
    if (difference === undefined ? isEqualText : Math.abs(difference) <= allowed) return [];
    return [{ item, quantity, from, to, ...(difference !== undefined && { difference }), ...judged(known.tolerance) }];
  });
  const gone = baseline
    .filter((measure) => !now.has(key(measure)))
    .map(({ item, quantity, value, tolerance }): Moved => ({ item, quantity, from: value, ...judged(tolerance) }));
  const all = [...moved, ...gone];
  return all.some(({ isRegression }) => isRegression) ? all : [];
}

const judged = (tolerance: Tolerance) => ({ tolerance, isRegression: typeof tolerance === 'number' });
