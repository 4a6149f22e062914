import { encodeSafetensors, readSafetensors } from '../checkpoints/load.js';
import { InputError } from '../errors.js';
import { hasOwnExits } from '../experiment/network.js';
import type { Experiment } from '../experiment/schema.js';
import type { Certificate } from '../gates/certificate.js';
import { decide } from '../gates/confidence.js';
import type { GateTrainer, TrainingData } from '../gates/contracts.js';
import type { Judged } from '../gates/fit.js';
import { distances, type Gate, gateOfFeatures, splitPrevious } from '../gates/gate.js';
import type { GateTarget } from '../gates/loss.js';
import { type GateTraining, survivors, trainGate } from '../gates/train.js';
import type { GatePlace } from '../networks/onnx.js';
import { codeOf } from '../store/code.js';
import { type Entry, makeAll, type Wanted } from '../store/store.js';
import { rowsOf } from '../tensor.js';
import { trainingBatches } from './batches.js';
import type { RunContext } from './context.js';
import { type FeatureSet, type Window, windowsOf } from './features.js';
import { membersOf } from './plan.js';

const FILE = 'gate.safetensors';

/** Trains all gates, whatever engine runs the network, so that gates are the same everywhere. */
export const gateTrainer = {
  id: 'ort-cpu',
  module: 'engines/onnxruntime/engine',
  create: async (): Promise<GateTrainer> => (await import('../engines/onnxruntime/engine.js')).OnnxRuntimeCpu.create(),
} as const;

/** A gate's place, its number of features, its lambda, and what its training reached. */
export interface TrainedPlace extends GatePlace, Certificate {
  readonly features: number;
  readonly network?: number;
  readonly l2: number;
  /** Where lambda was chosen from a list: what training reached with each, and the gate's accuracy on the choosing images. */
  readonly tried?: readonly (Certificate & { readonly l2: number; readonly accuracy: number })[];
}

/** A trained gate and where it is cached. */
export interface CachedGate {
  readonly entry: Entry;
  /** Position of its network in a cascade, from 0. */
  readonly network: number;
  /** Position among the gates of its network and their features, from 0. */
  readonly index: number;
  /** Number of its features. */
  readonly width: number;
  readonly l2: number;
  readonly reached: Certificate;
  /** Reads the weights. @throws CorruptEntryError */
  readonly load: () => Promise<Gate>;
  /** The gate whose distances it takes. */
  readonly before?: ScoringGate;
}

/** Training features of each network; undefined for one without gates. */
type TrainingSets = readonly (FeatureSet | undefined)[];

/**
 * The gates of the experiment, each trained alone on all training images, or read from the cache: with each lambda of a list, the
 * largest first. None starts from another, so that each is the gate of an experiment with this lambda alone.
 *
 * @param wanted positions of the gates to train, from 0, counted through all networks of a cascade; all by default
 */
export async function trainGates(
  context: RunContext,
  experiment: Experiment,
  sets: TrainingSets,
  wanted?: readonly number[],
): Promise<CachedGate[][]> {
  const gates = gateEntries(context, experiment, sets).filter((_, i) => wanted?.includes(i) !== false);
  await makeAll(context.progress, gates.flat());
  const cached = async ({ label: _, make: __, ...gate }: WantedGate): Promise<CachedGate> => {
    const notes = (await gate.entry.manifest())?.notes ?? {};
    const { objective, gap, worstGap } = notes as unknown as Certificate;
    return { ...gate, reached: { objective, ...(gap !== undefined && { gap, worstGap }) } };
  };
  return Promise.all(gates.map((of) => Promise.all(of.map(cached))));
}

/** Positions, from 0, of the gates that are not cached. */
export async function untrainedGates(...all: Parameters<typeof gateEntries>): Promise<number[]> {
  const complete = gateEntries(...all).map((of) => Promise.all(of.map(({ entry }) => entry.isComplete())));
  return (await Promise.all(complete)).flatMap((of, index) => (of.includes(false) ? [index] : []));
}

type WantedGate = Wanted & Omit<CachedGate, 'reached' | 'before'> & { readonly before?: WantedGate };

/** Each gate of the experiment, with each lambda of a list, the largest first: its cache entry, its name and how to make it. */
export function gateEntries(context: RunContext, experiment: Experiment, sets: TrainingSets): WantedGate[][] {
  return membersOf(experiment).flatMap(({ gates, seed, network: chosen }, network) => {
    const features = sets[network];
    if (features === undefined) return [];
    const { after, loss, target, solver, gap, epochs, batchSize, weights, previous } = gates;
    const isOwn = hasOwnExits(chosen);
    const lambdas = isOwn ? [0] : [...new Set([gates.l2].flat())].sort((a, b) => b - a);
    if (lambdas.length > 1 && (weights === 'survivors' || previous === true))
      throw new InputError(`gates.l2: ${lambdas.join(', ')}; valid: one, where gates learn from those before them`);
    const of = sets.length > 1 ? `network ${network + 1}, ` : '';
    const earlier: WantedGate[] = [];
    return after.map((stage, index) =>
      lambdas.map((l2) => {
        // The optimum does not depend on the seed, so its first steps use a fixed one.
        const training: GateTraining = { loss, l2, solver, gap, epochs, batchSize, seed: solver === 'sgd' ? seed : 0 };
        const label = `${of}gate ${index + 1} (stage ${stage})${lambdas.length > 1 ? `, lambda ${l2}` : ''}`;
        const passed = weights === 'survivors' ? [...earlier] : [];
        const before = previous === true ? earlier.at(-1) : undefined;
        const width = features.widths[index]!;
        const entry = context.store.entry('gates', {
          features: features.entry.key,
          gate: index,
          ...(!isOwn && { training }),
          ...(target === 'network' && { target }),
          ...(passed.length > 0 && { survivorsOf: passed.map((gate) => gate.entry.key) }),
          ...(before && { previous: before.entry.key }),
          engine: gateTrainer.id,
          code: codeOf('run/train', gateTrainer.module),
        });
        const make = async (): Promise<void> => {
          const began = performance.now();
          const learn = async () => {
            context.progress.note(`${label}: not in the cache; training on ${gateTrainer.id}`);
            await makeAll(context.progress, [...passed, ...(before ? [before] : [])]);
            const images = passed.length > 0 ? await survivorsAt(features, passed) : undefined;
            const distances = before && (await numbersAt(features, before)).numbers;
            const data = await trainingData(features, index, target, undefined, { images, before: distances });
            const trained = await trainGate(data, training, await gateTrainer.create(), context.progress, label);
            return before === undefined ? trained : { ...trained, gate: splitPrevious(trained.gate, width) };
          };
          // The exit of a file has no weights.
          const { gate, ...reached } = isOwn ? { gate: gateOfFeatures(0), objective: 0 } : await learn();
          const arrays = new Map([
            ['weights', { shape: [gate.features, gate.classes], data: gate.weights }],
            ['bias', { shape: [gate.classes], data: gate.bias }],
          ]);
          if (gate.previous) arrays.set('previous', { shape: [gate.classes, gate.classes], data: gate.previous });
          const formula = `d = x weights${gate.previous ? ' + (d of the gate before) previous' : ''} - bias`;
          await entry.write(FILE, encodeSafetensors(arrays, { distances: formula }));
          const seconds = (performance.now() - began) / 1000;
          const origin = await features.origin();
          await entry.finish({ ...reached, seconds, ...(origin && { features: origin }) });
        };
        const load = () => readGate(entry, { features: width, classes: features.classes });
        const wanted = { entry, label, make, network, index, l2, width, load, ...(before && { before }) };
        earlier.push(wanted);
        return wanted;
      }),
    );
  });
}

async function readGate(entry: Entry, shape: { features: number; classes: number }): Promise<Gate> {
  const { tensors } = await readSafetensors(await entry.read(FILE), `${entry.directory}/${FILE}`);
  const previous = tensors.get('previous')?.data;
  const [weights, bias] = [tensors.get('weights')!.data, tensors.get('bias')!.data];
  return { ...shape, weights, bias, ...(previous && { previous }) };
}

export type ScoringGate = Pick<CachedGate, 'network' | 'index' | 'load' | 'before'>;

/** Bytes of features that are read at once. */
const SCORED_BYTES = 64 * 2 ** 20;

/** The numbers of images at one gate, or at the end of the network, [images, classes], and the labels, window by window. */
export async function* numbersIn(set: FeatureSet, gate?: ScoringGate) {
  const loaded = await gate?.load();
  const before = gate?.before && (await numbersAt(set, gate.before)).numbers;
  let start = 0;
  for await (const { x, labels } of windowsOf(set, gate?.index ?? set.widths.length, SCORED_BYTES, undefined)) {
    const at = before?.subarray(start * set.classes);
    yield { numbers: loaded === undefined ? x : distances(loaded, x, at), labels, start };
    start += labels.length;
  }
}

/** Those of all images together. */
export async function numbersAt(set: FeatureSet, gate?: ScoringGate): Promise<Judged> {
  const { count, classes } = set;
  const judged = { labels: new Int32Array(count), numbers: new Float32Array(count * classes), classes };
  for await (const { numbers, labels, start } of numbersIn(set, gate)) {
    judged.labels.set(labels, start);
    judged.numbers.set(numbers, start * classes);
  }
  return judged;
}

// Training data.

/** Larger features of a gate are read from the disk in each pass. */
const MOST_BYTES_IN_MEMORY = 2 ** 30;

/**
 * One gate's features: in memory, or read in each pass if they take more than 1 GiB.
 *
 * @param images positions of those that count, with repetitions; each once by default
 * @param before distances of the gate before, which stand behind the features: [count, classes]
 * @throws CorruptEntryError; InputError for chosen images or distances with features of more than 1 GiB
 */
export async function trainingData(
  set: FeatureSet,
  gate: number,
  target: GateTarget = 'labels',
  most = MOST_BYTES_IN_MEMORY,
  { images, before }: { readonly images?: Int32Array | undefined; readonly before?: Float32Array | undefined } = {},
): Promise<TrainingData> {
  const { classes, widths, count } = set;
  const isLarge = count * widths[gate]! * 4 > most;
  if (isLarge && images === undefined && before === undefined) return streamedData(set, gate, target);
  if (isLarge) {
    const asked = images === undefined ? 'gates.previous: true' : 'gates.weights: survivors';
    throw new InputError(`${asked}, ${count} images; valid: features of up to 1 GiB at each gate`);
  }
  let all: Window = { x: new Float32Array(), labels: new Int32Array() };
  for await (const window of windowsOf(set, gate, Infinity, undefined, target === 'network')) all = window;
  const { labels, logits } = all;
  const x = before === undefined ? all.x : beside(all.x, widths[gate]!, before, classes);
  if (images === undefined) return inMemory(x, labels, classes, logits);
  const drawn = images.map((image) => labels[image]!);
  const logitsOf = logits && rowsOf(logits, images, classes);
  return { ...inMemory(rowsOf(x, images, x.length / count), drawn, classes, logitsOf), repeats: true };
}

/** Rows of two matrices one behind the other, [count, width + other]. */
function beside(x: Float32Array, width: number, more: Float32Array, other: number): Float32Array {
  const joined = new Float32Array(x.length + more.length);
  for (let image = 0; image * width < x.length; image++) {
    joined.set(x.subarray(image * width, (image + 1) * width), image * (width + other));
    joined.set(more.subarray(image * other, (image + 1) * other), image * (width + other) + width);
  }
  return joined;
}

/** Training images as often as they are likely to pass these gates. */
async function survivorsAt(set: FeatureSet, before: readonly ScoringGate[]): Promise<Int32Array> {
  const confidences: Float32Array[] = [];
  for (const gate of before) {
    const { numbers, classes } = await numbersAt(set, gate);
    confidences.push(decide(numbers, classes, 'difference').confidences);
  }
  return survivors(confidences);
}

/** Training data in memory. @param x [count, features] row-major @param logits of the network, if gates learn from it */
export function inMemory(x: Float32Array, labels: Int32Array, classes: number, logits?: Float32Array): TrainingData {
  const count = labels.length;
  const features = x.length / count;
  const batches: TrainingData['batches'] = (size, seed) =>
    trainingBatches([{ x, labels, ...(logits && { logits }) }], classes, features, Math.min(size, count), seed);
  return { count, features, classes, batches };
}

/** Bytes of features that are shuffled together; twice as much is held, since the next window is read meanwhile. */
const WINDOW_BYTES = 256 * 2 ** 20;

/**
 * Features of one gate for training, read from the shards in each pass: memory is two windows and a batch.
 *
 * A shuffled pass draws the order of the shards from its seed, then the order of the images in each window of shards. Images far
 * apart in that order never share a batch; this is harmless if each shard is a sample of all classes, so image folders shuffle
 * their training images. The first pass checks the hashes of the shards. A batch's arrays are reused for the next one.
 */
export function streamedData(
  set: FeatureSet,
  gate: number,
  target: GateTarget = 'labels',
  windowBytes = WINDOW_BYTES,
): TrainingData {
  const features = set.widths[gate]!;
  return {
    count: set.count,
    features,
    classes: set.classes,
    batches: (size, seed) => {
      const windows = windowsOf(set, gate, windowBytes, seed, target === 'network');
      return trainingBatches(windows, set.classes, features, size, seed);
    },
  };
}
