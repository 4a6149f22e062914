import type { RawTensor } from '../checkpoints/dtypes.js';
import { encodeSafetensors, parseSafetensors, type Storable } from '../checkpoints/load.js';
import { InputError } from '../errors.js';
import { hasOwnExits } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import { type ConfidenceKind, type Decisions, decide, type Fitted, looksBack, unfitted } from '../gates/confidence.js';
import { calibrationError, fitConfidence, fitTemperature, type Judged } from '../gates/fit.js';
import { codeOf } from '../store/code.js';
import { type Entry, makeAll } from '../store/store.js';
import type { Scores } from '../thresholds/evaluate.js';
import { proposingImages } from '../thresholds/guarantee.js';
import type { RunContext } from './context.js';
import type { FeatureSet } from './features.js';
import type { BySplit } from './images.js';
import { eachInTurn } from './plan.js';
import { isOfAgreement, originalAccuracy, type Part } from './search.js';
import { type CachedGate, gateEntries, numbersAt, numbersIn, type ScoringGate } from './train.js';

const FILE = 'scores.safetensors';

export type SplitFeatures = BySplit<FeatureSet>;

/**
 * Class and confidence of each image at each exit but the last: from the cache, or computed from features into it.
 *
 * @param sets features of the network, behind those of the earlier networks of a cascade
 */
export async function scoreImages(
  context: RunContext,
  sets: readonly FeatureSet[],
  gates: readonly CachedGate[],
  confidence: ConfidenceKind,
  split: string,
): Promise<Scores> {
  const entry = scoresEntry(context, sets, gates, confidence);
  let computed: Scores | undefined;
  const label = `scores of ${split} images`;
  const make = async (): Promise<void> => {
    context.progress.note(`${label}: not in the cache; ${gates.length > 0 ? 'applying the gates' : 'from the logits'}`);
    computed = await computeScores(sets, gates, confidence);
    await entry.write(FILE, encodeSafetensors(arraysOf(computed)));
    const origin = await sets.at(-1)!.origin();
    await entry.finish({ images: computed.count, ...(origin && { features: origin }) });
  };
  await makeAll(context.progress, [{ entry, label, make }]);
  return computed ?? readScores(entry, sets.length - 1 + gates.length);
}

/** A gate at its lambda, and what was tried: this alone, or each of a list. */
export type ChosenGate<G> = G & { readonly tried: readonly { readonly gate: G; readonly accuracy: number }[] };

/**
 * Of each gate the one that is most accurate on the choosing images; of equal ones that with the largest lambda.
 *
 * Accuracy, not the mean loss: lambda changes the scale of distances, and with it the loss, but thresholds are chosen later, on
 * that scale. Each gate is judged alone, as it is trained, by its class; so both losses and all confidences choose alike.
 *
 * @param candidates each gate with each lambda, the largest first
 * @param scoresOf scores of the choosing images with one candidate of each gate
 * @returns undefined where these are not known
 */
export async function chooseLambdas<G extends Pick<CachedGate, 'network'>>(
  candidates: readonly (readonly G[])[],
  scoresOf: (gates: readonly G[]) => Promise<Scores | undefined>,
): Promise<ChosenGate<G>[] | undefined> {
  const accuracies = new Map<G, number>();
  for (let i = 0; candidates.some(({ length }) => length > Math.max(1, i)); i++) {
    const gates = candidates.map((of) => of[i] ?? of[0]!);
    const scores = await scoresOf(gates);
    if (scores === undefined) return undefined;
    for (const [k, gate] of gates.entries()) {
      const original = scores.classes[k + gate.network]!; // each earlier network of a cascade is an exit, too
      accuracies.set(gate, originalAccuracy({ ...scores, original }));
    }
  }
  return candidates.map((of) => {
    const tried = of.map((gate) => ({ gate, accuracy: accuracies.get(gate) ?? 0 }));
    return { ...tried.reduce((a, b) => (b.accuracy > a.accuracy ? b : a)).gate, tried };
  });
}

/** The cache entry of these scores. */
export function scoresEntry(
  context: RunContext,
  sets: readonly FeatureSet[],
  gates: readonly { readonly entry: Entry }[],
  confidence: ConfidenceKind,
): Entry {
  return context.store.entry('scores', {
    features: sets.at(-1)!.entry.key,
    ...(sets.length > 1 && { earlier: sets.slice(0, -1).map(({ entry }) => entry.key) }),
    gates: gates.map((gate) => gate.entry.key),
    confidence,
    code: codeOf('run/score'),
  });
}

/** One split's features, of each network. */
export const setsIn = (sets: readonly SplitFeatures[], split: 'heldOut' | 'test'): FeatureSet[] =>
  sets.map((features) => features[split]).filter((set) => set !== undefined);

/** The features that each network's gates learn from, or at exits of a file are; undefined for a network without gates. */
export const trainingSets = (sets: readonly SplitFeatures[], { network }: Experiment): (FeatureSet | undefined)[] =>
  sets.map(({ train, test }) => (hasOwnExits(network) ? test : train));

/** The cache entries of a run's scores; undefined where nothing cached says which lambdas it will choose. */
export async function scoreEntries(context: RunContext, experiment: Experiment, sets: readonly SplitFeatures[]) {
  const entryOf = (split: 'heldOut' | 'test', gates: readonly { readonly entry: Entry }[]): Entry =>
    scoresEntry(context, setsIn(sets, split), gates, experiment.gates.confidence);
  const gates = await chooseLambdas(gateEntries(context, experiment, trainingSets(sets, experiment)), async (tried) => {
    const entry = entryOf('heldOut', tried);
    return (await entry.isComplete()) ? readScores(entry, sets.length - 1 + tried.length) : undefined;
  });
  const splits = (['heldOut', 'test'] as const).filter((split) => setsIn(sets, split).length > 0);
  return gates && splits.map((split) => ({ split, entry: entryOf(split, gates) }));
}

/** The exits of networks in their order: each network's gates, and its end. */
const exitsIn = <S>(sets: readonly S[], gates: readonly ScoringGate[]) =>
  sets.flatMap((set, network) => {
    const own = gates.filter((gate) => gate.network === network);
    return [...own, undefined].map((gate) => ({ set, gate }));
  });

/**
 * Class and confidence of each image at each exit of these networks, not cached.
 *
 * @param expected labels of the same images, as other networks have them
 */
export async function computeScores(
  sets: readonly FeatureSet[],
  gates: readonly ScoringGate[],
  kind: ConfidenceKind,
  expected?: Int32Array,
): Promise<Scores> {
  const exits: Decisions[] = [];
  let labels = expected;
  const isCarried = looksBack(kind);
  let before: Float32Array | undefined;
  for (const { set, gate } of exitsIn(sets, gates)) {
    const { count, classes } = set;
    const what = gate === undefined ? "the network's logits" : `the distances of gate ${gate.index + 1}`;
    const exit = { classes: new Int32Array(count), confidences: new Float32Array(count) };
    const read = new Int32Array(count);
    const after = new Float32Array(isCarried ? count * classes : 0);
    for await (const { numbers, labels: own, start } of numbersIn(set, gate)) {
      assertFinite(numbers, classes, what, start);
      const state = { before: before?.subarray(start * classes), exit: exits.length };
      const decided = decide(numbers, classes, kind, classes, state);
      exit.classes.set(decided.classes, start);
      exit.confidences.set(decided.confidences, start);
      if (isCarried) after.set(decided.carried!, start * classes);
      read.set(own, start);
    }
    if (labels !== undefined && (labels.length !== count || labels.some((label, i) => label !== read[i]))) {
      throw new Error('the networks of a cascade were run on different images');
    }
    exits.push(exit);
    labels = read;
    if (isCarried) before = after;
  }
  const { classes: original } = exits.pop()!;
  return {
    count: original.length,
    classes: exits.map(({ classes }) => classes),
    confidences: exits.map(({ confidences }) => confidences),
    original,
    labels: labels!,
  };
}

/** What was fitted to an exit in a part. */
export interface ExitFit {
  readonly fitted: Fitted;
  /** Expected calibration error on the reported images, without the temperature and with it; absent without one. */
  readonly errors?: readonly [before: number, after: number];
}

/** What an experiment fits to its exits; undefined for nothing. */
export function fittingOf({ gates, thresholds, analysis, seed, ...rest }: Experiment) {
  const { confidence: kind, calibrate: temperature = false, target } = gates;
  const { perClass: byClass = false, guarantee } = thresholds;
  if (!temperature && !byClass && kind !== 'failure') return undefined;
  // Images that test a promise must not have been fitted to.
  const promises = guarantee !== undefined || analysis?.kind === 'frontier';
  const fittedOn = (images: Int32Array, part: number): Int32Array =>
    promises ? proposingImages(images, seed + part).proposing : images;
  // Right then means the network's own answer.
  const withoutLabels = target === 'network' || rest.unlabelled !== undefined || isOfAgreement(thresholds);
  return { kind, temperature, byClass, fittedOn, withoutLabels };
}
export type Fitting = NonNullable<ReturnType<typeof fittingOf>>;

/**
 * Fits each exit for each part on the images that choose there: a temperature, failure prediction, offsets by class.
 *
 * @param sets features of each network: of the images that choose, and of those that are reported; the same in a cross-fit
 * @returns the parts with the confidences that follow; by exit, the last included, and by part what was fitted
 */
export async function fitParts(
  sets: readonly (readonly [choosing: FeatureSet, reported: FeatureSet])[],
  gates: readonly ScoringGate[],
  { kind, byClass, ...fitting }: Fitting,
  parts: readonly Part[],
): Promise<{ readonly parts: Part[]; readonly fits: ExitFit[][] }> {
  const fits: ExitFit[][] = [];
  const found = parts.map(() => ({ selection: [] as Float32Array[], evaluation: [] as Float32Array[] }));
  /** Of each part, what images that choose and that are reported take along to the next exit. */
  const carried = parts.map((): (Float32Array | undefined)[] => []);
  const exits = exitsIn(sets, gates);
  for (const [
    exit,
    {
      set: [choosing, reported],
      gate,
    },
  ] of exits.entries()) {
    const judged = await numbersAt(reported, gate);
    const fitted = choosing === reported ? judged : await numbersAt(choosing, gate);
    const hasMore = exit < exits.length - 1 && (byClass || kind === 'failure');
    const ofParts = await eachInTurn(parts, async (part, i): Promise<ExitFit> => {
      const [before, beforeReported] = carried[i]!;
      const images = fitting.fittedOn(part.selection.images, i);
      const temperature = fitting.temperature ? fitTemperature(fitted, images) : 1;
      const start = { before, exit, fitted: { ...unfitted(fitted.classes), temperature } };
      const { original, labels } = part.selection.scores;
      const basis = { ...fitted, labels: fitting.withoutLabels ? original : labels };
      const exitFit = hasMore ? await fitConfidence(basis, kind, start, original, images, byClass) : start.fitted;
      const at = ({ numbers, classes }: Judged, before: Float32Array | undefined): Decisions =>
        decide(numbers, classes, kind, classes, { fitted: exitFit, before, exit });
      const own = at(fitted, before);
      const other = fitted === judged ? own : at(judged, beforeReported);
      carried[i] = [own.carried, other.carried];
      found[i]!.selection.push(own.confidences);
      found[i]!.evaluation.push(other.confidences);
      const error = (of = 1): number => calibrationError(judged, part.evaluation.images, of);
      return { fitted: exitFit, ...(fitting.temperature && { errors: [error(), error(exitFit.temperature)] }) };
    });
    fits.push(ofParts);
  }
  const withOwn = (of: Part['selection'], confidences: readonly Float32Array[]): Part['selection'] => {
    return { ...of, scores: { ...of.scores, confidences: confidences.slice(0, -1) } };
  };
  const fittedParts = parts.map((part, i) => ({
    selection: withOwn(part.selection, found[i]!.selection),
    evaluation: withOwn(part.evaluation, found[i]!.evaluation),
  }));
  return { parts: fittedParts, fits };
}

/** NaN would neither reach nor miss a threshold. @param first number of the first image @throws InputError for values that are not finite */
function assertFinite(values: Float32Array, classes: number, what: string, first: number): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const image = first + Math.floor(at / classes);
  throw new InputError(
    `image ${image}: ${what} are not finite (${values[at]}); valid: a network that works on all images`,
  );
}

function arraysOf(scores: Scores): Map<string, Storable> {
  const shape = [scores.count];
  return new Map<string, Storable>([
    ...scores.classes.map((data, i): [string, Storable] => [`gate${i + 1}.class`, { dtype: 'I32', shape, data }]),
    ...scores.confidences.map((data, i): [string, Storable] => [
      `gate${i + 1}.confidence`,
      { shape, data: data as Float32Array },
    ]),
    ['original', { dtype: 'I32', shape, data: scores.original }],
    ['labels', { dtype: 'I32', shape, data: scores.labels }],
  ]);
}

export async function readScores(entry: Entry, gates: number): Promise<Scores> {
  const { tensors } = parseSafetensors(await entry.read(FILE), `${entry.directory}/${FILE}`);
  const copy = (name: string): ArrayBuffer => {
    const { bytes } = tensors.get(name) as RawTensor;
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  };
  const labels = new Int32Array(copy('labels'));
  const numbers = Array.from({ length: gates }, (_, index) => index + 1);
  return {
    count: labels.length,
    classes: numbers.map((number) => new Int32Array(copy(`gate${number}.class`))),
    confidences: numbers.map((number) => new Float32Array(copy(`gate${number}.confidence`))),
    original: new Int32Array(copy('original')),
    labels,
  };
}
