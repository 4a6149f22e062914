import { normalise } from '../data/preprocess.js';
import type { GatedNetwork } from '../engines/engine.js';
import { InputError } from '../errors.js';
import type { Experiment } from '../experiment/schema.js';
import type { GatedBatch, PlacedGate } from '../gates/contracts.js';
import { gateOfFeatures } from '../gates/gate.js';
import type { GatedSource, LoadedMember } from '../onnx/network.js';
import type { Progress } from '../progress.js';
import type { RunContext } from '../run/context.js';
import { costsOfExits, type Exit, type Plan } from '../run/plan.js';
import { withRepair } from '../run/run.js';
import type { SplitFeatures } from '../run/score.js';
import { type Row, searchAndEvaluate } from '../run/search.js';
import { type NetworkSource, networksOf } from '../run/source.js';
import { openStages, scoredParts } from '../run/stages.js';
import type { ChosenSystem, SystemRun } from '../run/systems.js';
import { answersAt, exitOf, type Scores, scoresOfExits, type Thresholds } from '../thresholds/evaluate.js';

/** A network with trained gates and the rows that a run reports; it is exported, timed and verified. */
export interface OpenGated extends Awaited<ReturnType<typeof openOnce>> {
  /** Fold of `parts[0]`, from 0; by default the first. */
  readonly fold?: number;
  /** Of another system than an experiment's rows: its name, its position behind them, and the network that it is compared with. */
  readonly beside?: { readonly name: string; readonly row: number; readonly original: OpenGated };
}

/** Opens an experiment's gated network, and computes what is not cached. @throws InputError if something does not fit */
export function openGated(context: RunContext, experiment: Experiment): Promise<OpenGated> {
  return withRepair(context, () => openOnce(context, experiment));
}

async function openOnce(context: RunContext, experiment: Experiment) {
  const stages = await openStages(context, experiment);
  const { plan, source, features } = stages;
  const cached = await stages.train();
  const { scores, parts, fits } = await scoredParts(stages, cached);
  const trained = await Promise.all(cached.map(({ load }) => load()));
  const gates = plan.exits.slice(0, -1).map((exit): PlacedGate => {
    return exit.place === undefined ? endOf(exit, features) : { place: exit.place, gate: trained.shift()! };
  });
  return {
    experiment,
    source,
    plan,
    /** Loads the weights of all networks. @throws InputError if the networks of a cascade take different pixels */
    lowered: () => loadedFrom(source, plan, gates, [...plan.exits.keys()]),
    /** One for each exit but the last; without weights at the end of a cascade's network. */
    gates,
    exits: plan.exits,
    flops: plan.flops,
    /** FLOPs of an image by its exit, the original classifier last. */
    costs: plan.costs,
    /** Test images in their reported order, and the scores of each. */
    test: stages.testImages,
    scores: scores.test,
    rows: searchAndEvaluate(experiment, parts, plan.costs, plan.flops.flops, stages.exitMs),
    /** `row.thresholds[i]` were chosen for the reported images of `parts[i]`. */
    parts,
    /** For each part what was fitted to each exit, if the experiment asks for it. */
    ...(fits && { fitted: parts.map((_, part) => fits.map((of) => of[part]!.fitted)) }),
    /** Answers (by position) and FLOPs that results are compared with. */
    reference: { answers: parts[0]!.evaluation.scores.original, flops: plan.flops.flops },
    /** The engine that extracted the features. */
    engine: stages.engine,
  };
}

/** The same, with the part of one fold as the first. */
export function fromFold(opened: OpenGated, fold: number): OpenGated {
  const turned = <T>(of: readonly T[]): T[] => [...of.slice(fold), ...of.slice(0, fold)];
  const { parts, fitted } = opened;
  return { ...opened, fold, parts: turned(parts), ...(fitted && { fitted: turned(fitted) }) };
}

/** The same with some exits only: a network cut at a gate, a smaller cascade. @param reference exit to compare with, from 0 */
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
    ...(opened.fitted && { fitted: opened.fitted.map((of) => exits.map((exit) => of[exit]!)) }),
    rows: searchAndEvaluate(as, parts, costs, plan.flops.flops),
    reference: {
      answers: answersAt(opened.parts[0]!.evaluation.scores, reference),
      flops: costsOfExits(plan, [reference])[0]!,
    },
  };
}

/** A system beside an experiment's rows, as a network with one row. @param row its position behind those rows */
export async function openBeside(context: RunContext, opened: OpenGated, [name, of]: SystemRun, row: number) {
  const beside = { name, row, original: opened };
  if ('exits' in of) return { ...onlyExits(opened, of, opened.exits.length - 1), beside };
  return { ...(await openGated(context, of)), flops: opened.flops, beside };
}

/** The end of a cascade's network, as a gate without weights. */
function endOf({ network }: Exit, { test: { classes } }: SplitFeatures): PlacedGate {
  return { place: { stage: network + 1, pooling: { kind: 'gap' } }, gate: gateOfFeatures(classes) };
}

/** The networks that the wanted exits need, with their gates. @param gates of all exits but the last */
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

/** A row's thresholds, with the ascending positions of the images that they are for; several in a cross-fit. */
export function thresholdsByImage({ parts, fitted }: Pick<OpenGated, 'parts' | 'fitted'>, row: Row) {
  return parts.map(({ evaluation: { images } }, i) => {
    return { thresholds: row.thresholds[i]!, ...(fitted && { fitted: fitted[i]! }), images };
  });
}

/** Engines round differently: a confidence this close to its threshold may fall on either side. */
const NEAR_THRESHOLD = 1e-4;

export type Verification = ReturnType<typeof emptyVerification>;

interface ImageRange {
  readonly batch: number;
  /** The first ones; all by default. */
  readonly limit?: number;
}

/** Runs test images through a gated network and compares class and exit with the cached evaluation of a row. */
export async function compareDynamic(
  opened: OpenGated,
  network: GatedNetwork,
  row: Row,
  { batch, limit = opened.test.count, progress }: ImageRange & { readonly progress: Progress },
): Promise<Verification> {
  const parts = thresholdsByImage(opened, row).map((part) => {
    return { ...part, images: part.images.filter((position) => position < limit) };
  });
  const total = parts.reduce((sum, { images }) => sum + images.length, 0);
  const task = progress.begin(`dynamic execution against the cached evaluation, batch ${batch}`, total, 'images');
  const found = emptyVerification();
  for (const { thresholds, fitted, images } of parts) {
    for (let start = 0; start < images.length; start += batch) {
      const positions = images.subarray(start, start + batch);
      const input = await networkInput(opened, positions);
      const result = await network.run(input, positions.length, thresholds, fitted);
      compareBatch(found, opened.scores, thresholds, positions, result);
      task.update(found.images);
    }
  }
  task.end();
  return found;
}

/** The pixels of test images as a network takes them. */
export async function networkInput({ test, source }: OpenGated, positions: Int32Array): Promise<Float32Array> {
  return normalise(await test.batch(positions), source.preprocessing, test.height * test.width);
}

/** The same for a graph that takes bytes, with what was fitted for the first part, if anything. */
export async function comparePixels(
  { test, parts }: Pick<OpenGated, 'test' | 'parts'>,
  graph: { run(pixels: Uint8Array, count: number, thresholds: Thresholds): Promise<GatedBatch> },
  thresholds: Thresholds,
  { batch, limit = test.count }: ImageRange,
): Promise<Verification> {
  const found = emptyVerification();
  const images = Int32Array.from({ length: Math.min(limit, test.count) }, (_, i) => i);
  for (let start = 0; start < images.length; start += batch) {
    const positions = images.subarray(start, start + batch);
    const result = await graph.run(await test.batch(positions), positions.length, thresholds);
    compareBatch(found, parts[0]!.evaluation.scores, thresholds, positions, result);
  }
  return found;
}

export function emptyVerification() {
  return {
    images: 0,
    /** Class and exit are the same. */
    same: 0,
    /** One of them differs, and a confidence lies within 1e-4 of its threshold. */
    near: 0,
    /** Positions of the images that differ otherwise. A correct engine has none. */
    different: [] as number[],
    /** Largest difference of confidences, over images that leave at the same gate. */
    largestDifference: 0,
  };
}

/** Adds a batch to the totals. @param positions of its images in the test set */
export function compareBatch(
  found: Verification,
  scores: Scores,
  thresholds: Thresholds,
  positions: Int32Array,
  result: GatedBatch,
): void {
  for (const [position, image] of positions.entries()) {
    found.images++;
    const exit = exitOf(scores, thresholds, image);
    const expected = (scores.classes[exit] ?? scores.original)[image];
    const reached = Math.max(exit, result.exits[position]!);
    if (exit === result.exits[position]) {
      const cached = scores.confidences[exit]?.[image];
      // The cache has no confidence of the original classifier.
      const difference = cached === undefined ? 0 : Math.abs(cached - result.confidences[position]!);
      found.largestDifference = Math.max(found.largestDifference, difference);
      if (expected === result.classes[position] && !Number.isNaN(difference)) {
        found.same++;
        continue;
      }
    }
    const isNear = thresholds.some(
      (threshold, gate) => gate <= reached && Math.abs(scores.confidences[gate]![image]! - threshold) <= NEAR_THRESHOLD,
    );
    if (isNear) found.near++;
    else found.different.push(image);
  }
}

export function describeVerification({ images, same, near, different, largestDifference }: Verification): string {
  const number = (value: number): string => value.toLocaleString('en');
  return (
    `${number(same)} of ${number(images)} images have the same class and exit; ${number(near)} differ with a ` +
    `confidence within ${NEAR_THRESHOLD} of its threshold, ${number(different.length)} differ otherwise` +
    `${different.length > 0 ? ` (images ${different.slice(0, 5).join(', ')}${different.length > 5 ? ', ...' : ''})` : ''}; ` +
    `confidences differ by at most ${largestDifference.toExponential(1)}`
  );
}
