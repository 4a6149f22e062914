import type { ImageSource } from '../data/dataset.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import type { PlacedGate } from '../gates/contracts.js';
import type { NetworkFlops } from '../networks/network.js';
import type { GatedSource, LoadedMember } from '../onnx/loaded.js';
import type { LazyEngine, RunContext } from '../run/context.js';
import { costsOfExits, type Exit, type Plan } from '../run/plan.js';
import { withRepair } from '../run/run.js';
import { originalAccuracy, type Part, type Row, searchAndEvaluate } from '../run/search.js';
import { type NetworkSource, networksOf } from '../run/source.js';
import { openStages, type SplitFeatures, scoredParts } from '../run/stages.js';
import type { ChosenSystem } from '../run/systems.js';
import { answersAt, type ExitCosts, type Scores, scoresOfExits } from '../thresholds/evaluate.js';

/** A network with its trained gates and the rows that a run reports: what is exported, timed and verified. */
export interface OpenGated {
  readonly experiment: Experiment;
  readonly source: NetworkSource;
  /** The network with its weights; of a cascade all its networks. @throws InputError where their pixels differ */
  readonly lowered: () => Promise<GatedSource>;
  readonly plan: Plan;
  /** One for each exit but the last, weights read; without weights where a network of a cascade ends. */
  readonly gates: readonly PlacedGate[];
  /** What each exit is, the last included. */
  readonly exits: readonly Exit[];
  readonly flops: NetworkFlops;
  /** FLOPs of an image by the exit that it takes, the original classifier last. */
  readonly costs: ExitCosts;
  /** Test images in the order in which they are reported, and what is known of each. */
  readonly test: ImageSource;
  readonly scores: Scores;
  /** Margins first, then fixed thresholds, as the table has them. */
  readonly rows: readonly Row[];
  /** What the rows' thresholds belong to: `row.thresholds[i]` were chosen for the reported images of `parts[i]`. */
  readonly parts: readonly Part[];
  /** By part what each exit's numbers are divided by, the last one's included; absent unless the experiment calibrates. */
  readonly temperatures?: readonly (readonly number[])[];
  /** Accuracy of the original network on the test images, 0 to 1. */
  readonly originalAccuracy: number;
  /** What results are compared with: answers to the test images, by position, and FLOPs; the original's by default. */
  readonly reference: { readonly answers: Int32Array; readonly flops: number };
  /** What extracted the features that the rows rest on. */
  readonly engine: LazyEngine;
}

/**
 * Opens an experiment's gated network: from the cache, or computed into it, as a run does. A damaged cache entry is
 * removed and made again.
 *
 * @throws InputError where the experiment does not fit its network, checkpoint or data
 */
export function openGated(context: RunContext, experiment: Experiment): Promise<OpenGated> {
  return withRepair(context, () => openOnce(context, experiment));
}

async function openOnce(context: RunContext, experiment: Experiment): Promise<OpenGated> {
  const stages = await openStages(context, experiment);
  const { plan, source, features } = stages;
  const cached = await stages.train();
  const { scores, parts, calibration } = await scoredParts(stages, cached);
  const trained = await Promise.all(cached.map(({ load }) => load()));
  const gates = plan.exits.slice(0, -1).map((exit): PlacedGate => {
    return exit.place === undefined ? endOf(exit, features) : { place: exit.place, gate: trained.shift()! };
  });
  return {
    experiment,
    source,
    plan,
    lowered: () => loadedFrom(source, plan, gates, [...plan.exits.keys()]),
    gates,
    exits: plan.exits,
    flops: plan.flops,
    costs: plan.costs,
    test: stages.testImages,
    scores: scores.test,
    rows: searchAndEvaluate(experiment, parts, plan.costs, plan.flops.flops),
    parts,
    ...(calibration && { temperatures: parts.map((_, part) => calibration.map((of) => of[part]!.temperature)) }),
    originalAccuracy: originalAccuracy(scores.test, everyImage(scores.test)),
    reference: { answers: parts[0]!.evaluation.scores.original, flops: plan.flops.flops },
    engine: stages.engine,
  };
}

/**
 * The same with some exits only: a network alone or cut at a gate, a smaller cascade. What no exit needs is not run.
 *
 * @param reference the exit that it is compared with, from 0
 */
export function onlyExits(opened: OpenGated, { exits, thresholds }: ChosenSystem, reference: number): OpenGated {
  const { plan, experiment, source } = opened;
  const only = <T extends { readonly scores: Scores }>(of: T): T => ({
    ...of,
    scores: scoresOfExits(of.scores, exits),
  });
  const parts = opened.parts.map(({ selection, evaluation }) => ({
    selection: only(selection),
    evaluation: only(evaluation),
  }));
  const { validation, search } = experiment.thresholds;
  const as = { ...experiment, thresholds: { validation, search, margins: [], fixed: [[...thresholds]] } };
  const costs = costsOfExits(plan, exits);
  return {
    ...opened,
    experiment: as,
    lowered: () => loadedFrom(source, plan, opened.gates, exits),
    gates: exits.slice(0, -1).map((exit) => opened.gates[exit]!),
    exits: exits.map((exit) => plan.exits[exit]!),
    costs,
    scores: only(opened).scores,
    parts,
    ...(opened.temperatures && { temperatures: opened.temperatures.map((of) => exits.map((exit) => of[exit]!)) }),
    rows: searchAndEvaluate(as, parts, costs, plan.flops.flops),
    reference: {
      answers: answersAt(opened.parts[0]!.evaluation.scores, reference),
      flops: costsOfExits(plan, [reference])[0]!,
    },
  };
}

/** The end of a network of a cascade, as a gate that has nothing to compute. */
function endOf({ network }: Exit, { test: { classes } }: SplitFeatures): PlacedGate {
  const gate = { features: classes, classes, weights: new Float32Array(), bias: new Float32Array() };
  return { place: { stage: network + 1, pooling: { kind: 'gap' } }, gate };
}

/** The networks that some exits need, with the gates among these exits. @param gates of all exits but the last */
async function loadedFrom(
  source: NetworkSource,
  plan: Plan,
  gates: readonly PlacedGate[],
  wanted: readonly number[],
): Promise<GatedSource> {
  if (source.earlier === undefined && wanted.length === plan.exits.length) return source.lowered();
  const members: LoadedMember[] = [];
  for (const [i, { preprocessing, resizing, misfit, lowered }] of networksOf(source).entries()) {
    const own = wanted.filter((exit) => plan.exits[exit]!.network === i);
    if (own.length === 0) continue;
    if (misfit !== undefined) throw new InputError(misfit);
    const atGates = own.filter((exit) => plan.exits[exit]!.place !== undefined);
    const isCut = atGates.length === own.length;
    const inside = atGates.map((exit) => gates[exit]!);
    members.push({ loaded: await lowered(), preprocessing, gates: inside, isCut, ...(resizing && { resizing }) });
  }
  return { network: source.network, given: source.preprocessing, members };
}

function everyImage({ count }: Scores): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i);
}

/**
 * The thresholds that a row holds against each test image, with the images' positions, ascending: one entry, or one for
 * each fold of a cross-fit, where every fold has thresholds chosen on the others.
 */
export function thresholdsByImage({ parts, temperatures }: Pick<OpenGated, 'parts' | 'temperatures'>, row: Row) {
  return parts.map(({ evaluation: { images } }, i) => {
    return { thresholds: row.thresholds[i]!, ...(temperatures && { temperatures: temperatures[i]! }), images };
  });
}
