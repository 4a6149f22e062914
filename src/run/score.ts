import type { RawTensor } from '../checkpoints/dtypes.js';
import { encodeSafetensors, parseSafetensors, type Storable } from '../checkpoints/load.js';
import { InputError } from '../errors.js';
import { type ConfidenceKind, type Decisions, decide, type Fitted, looksBack, unfitted } from '../gates/confidence.js';
import { calibrationError, fitConfidence, fitTemperature, type Judged } from '../gates/fit.js';
import { distances } from '../gates/gate.js';
import { codeOf } from '../store/code.js';
import { type Entry, makeAll } from '../store/store.js';
import type { Scores } from '../thresholds/evaluate.js';
import type { RunContext } from './context.js';
import { type FeatureSet, windowsOf } from './features.js';
import { eachInTurn } from './plan.js';
import { originalAccuracy, type Part } from './search.js';
import type { CachedGate } from './train.js';

const FILE = 'scores.safetensors';

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

type ScoringGate = Pick<CachedGate, 'network' | 'index' | 'load'>;

/** Class and confidence of each image at each exit of these networks, not cached. */
export async function computeScores(
  sets: readonly FeatureSet[],
  gates: readonly ScoringGate[],
  confidence: ConfidenceKind,
): Promise<Scores> {
  const all: Decisions[] = [];
  let labels: Int32Array | undefined;
  for (const [network, set] of sets.entries()) {
    const own = gates.filter((gate) => gate.network === network);
    const found = await answersOf(set, own, confidence, labels, all);
    labels = found.labels;
    all.push(...found.exits);
  }
  const original = all.pop()!;
  return {
    count: original.classes.length,
    classes: all.map(({ classes }) => classes),
    confidences: all.map(({ confidences }) => confidences),
    original: original.classes,
    labels: labels!,
  };
}

/**
 * Class and confidence of each image at these gates of one network, and at its end.
 *
 * @param expected labels of the same images, as other networks of a cascade have them
 * @param earlier decisions at the exits of those networks
 */
export async function answersOf(
  set: FeatureSet,
  gates: readonly ScoringGate[],
  kind: ConfidenceKind,
  expected?: Int32Array,
  earlier: readonly Decisions[] = [],
): Promise<{ readonly labels: Int32Array; readonly exits: readonly Decisions[] }> {
  const { count, classes } = set;
  const labels = new Int32Array(count);
  const width = looksBack(kind) ? classes : 0;
  const exits = [...gates, undefined].map(() => ({
    classes: new Int32Array(count),
    confidences: new Float32Array(count),
    carried: new Float32Array(count * width),
  }));
  for await (const { start, numbers, ...shard } of numbersIn(set, gates)) {
    labels.set(shard.labels, start);
    const [from, to] = [start * width, (start + shard.labels.length) * width];
    let before = earlier.at(-1)?.carried?.subarray(from, to);
    for (const [exit, d] of numbers.entries()) {
      const what = exit < gates.length ? `the distances of gate ${exit + 1}` : "the network's logits";
      assertFinite(d, classes, start, what);
      const decisions = decide(d, classes, kind, classes, { before, exit: earlier.length + exit });
      before = decisions.carried;
      exits[exit]!.classes.set(decisions.classes, start);
      exits[exit]!.confidences.set(decisions.confidences, start);
      exits[exit]!.carried.set(before ?? [], from);
    }
  }
  if (expected !== undefined && (expected.length !== count || expected.some((label, i) => label !== labels[i]))) {
    throw new Error('the networks of a cascade were run on different images');
  }
  return { labels, exits };
}

/** Per shard: distances at each gate, then logits, [count, classes]; `start` is the position of its first image. */
async function* numbersIn(set: FeatureSet, gates: readonly ScoringGate[]) {
  const loaded = await Promise.all(gates.map((gate) => gate.load()));
  let start = 0;
  for await (const shard of set.shards()) {
    const atGates = loaded.map((gate, i) => distances(gate, shard.features(gates[i]!.index)));
    yield { start, labels: shard.labels, numbers: [...atGates, shard.logits] };
    start += shard.count;
  }
}

/** What was fitted to an exit in a part. */
export interface ExitFit {
  readonly fitted: Fitted;
  /** Expected calibration error on the reported images, without the temperature and with it; absent without one. */
  readonly errors?: readonly [before: number, after: number];
}

/** What is fitted to the exits of each part. */
export interface Fitting {
  readonly kind: ConfidenceKind;
  readonly temperature: boolean;
  readonly byClass: boolean;
  /** The images that choose without those that test a promise. */
  readonly fittedOn: (images: Int32Array, part: number) => Int32Array;
  /** Whether right means the network's own answer, without labels. */
  readonly isOfAgreement: boolean;
}

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
  for (const [network, [choosing, reported]] of sets.entries()) {
    for (const gate of [...gates.filter((own) => own.network === network), undefined]) {
      const judged = await numbersAt(reported, gate);
      const fitted = choosing === reported ? judged : await numbersAt(choosing, gate);
      const exit = fits.length;
      const isLast = gate === undefined && network === sets.length - 1;
      const hasMore = !isLast && (byClass || kind === 'failure');
      const ofParts = await eachInTurn(parts, async (part, i): Promise<ExitFit> => {
        const [before, beforeReported] = carried[i]!;
        const images = fitting.fittedOn(part.selection.images, i);
        const temperature = fitting.temperature ? fitTemperature(fitted, images) : 1;
        const start = { before, exit, fitted: { ...unfitted(fitted.classes), temperature } };
        const { original, labels } = part.selection.scores;
        const basis = { ...fitted, labels: fitting.isOfAgreement ? original : labels };
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
  }
  const withOwn = (of: Part['selection'], confidences: readonly Float32Array[]): Part['selection'] => {
    return { ...of, scores: { ...of.scores, confidences: confidences.slice(0, -1) } };
  };
  const fittedParts = parts.map(({ selection, evaluation }, part) => ({
    selection: withOwn(selection, found[part]!.selection),
    evaluation: withOwn(evaluation, found[part]!.evaluation),
  }));
  return { parts: fittedParts, fits };
}

/** Bytes of features that are read at once. */
const WINDOW_BYTES = 64 * 2 ** 20;

/** The numbers of all images at one gate, or at the end of the network: 4 bytes for each image and class. */
async function numbersAt(set: FeatureSet, gate?: ScoringGate): Promise<Judged> {
  const { count, classes } = set;
  const judged = { labels: new Int32Array(count), numbers: new Float32Array(count * classes), classes };
  const loaded = await gate?.load();
  let start = 0;
  const blocks = gate === undefined ? logitsOf(set) : windowsOf(set, gate.index, WINDOW_BYTES, undefined);
  for await (const { x, labels } of blocks) {
    judged.labels.set(labels, start);
    judged.numbers.set(loaded === undefined ? x : distances(loaded, x), start * classes);
    start += labels.length;
  }
  return judged;
}

async function* logitsOf(set: FeatureSet) {
  for await (const { logits, labels } of set.shards()) yield { x: logits, labels };
}

/** NaN would neither reach nor miss a threshold. @throws InputError for values that are not finite */
function assertFinite(values: Float32Array, classes: number, start: number, what: string): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const image = start + Math.floor(at / classes);
  throw new InputError(
    `image ${image}: ${what} are not finite (${values[at]}); valid: a network that works on all images`,
  );
}

function arraysOf(scores: Scores): Map<string, Storable> {
  const shape = [scores.count];
  return new Map<string, Storable>([
    ...scores.classes.map((data, i): [string, Storable] => [`gate${i + 1}.class`, { dtype: 'I32', shape, data }]),
    ...scores.confidences.map((data, i): [string, Storable] => [`gate${i + 1}.confidence`, { shape, data }]),
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
