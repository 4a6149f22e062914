import type { RawTensor } from '../checkpoints/dtypes.js';
import { encodeSafetensors, parseSafetensors, type Storable } from '../checkpoints/safetensors.js';
import { InputError } from '../errors.js';
import { type ConfidenceKind, type Decisions, decide } from '../gates/confidence.js';
import { distances } from '../gates/gate.js';
import { codeOf } from '../store/code.js';
import type { Entry } from '../store/store.js';
import type { Scores } from '../thresholds/evaluate.js';
import type { RunContext } from './context.js';
import type { FeatureSet } from './features.js';
import { makeAll } from './make.js';
import type { CachedGate } from './train.js';

const FILE = 'scores.safetensors';

/**
 * Class and confidence of each image at each exit but the last: from the cache, or computed into it. No network is needed.
 *
 * @param sets features of the network, after those of the networks before it in a cascade
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

/** Where the scores of these gates are cached, or would be. */
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

/** Class and confidence of each image at each of these gates, not cached. */
export async function computeScores(
  sets: readonly FeatureSet[],
  gates: readonly Pick<CachedGate, 'index' | 'load'>[],
  confidence: ConfidenceKind,
): Promise<Scores> {
  const features = sets.at(-1)!;
  const { count, classes } = features;
  const loaded = await Promise.all(gates.map((gate) => gate.load()));
  const scores = {
    count,
    classes: loaded.map(() => new Int32Array(count)),
    confidences: loaded.map(() => new Float32Array(count)),
    original: new Int32Array(count),
    labels: new Int32Array(count),
  };
  let start = 0;
  for await (const shard of features.shards()) {
    scores.labels.set(shard.labels, start);
    assertFinite(shard.logits, classes, start, "the network's logits");
    scores.original.set(decide(shard.logits, classes, 'max').classes, start);
    loaded.forEach((gate, index) => {
      const x = shard.features(gates[index]!.index);
      const d = distances(gate, x);
      assertFinite(d, classes, start, `the distances of gate ${index + 1}`);
      const decisions = decide(d, classes, confidence);
      scores.classes[index]!.set(decisions.classes, start);
      scores.confidences[index]!.set(decisions.confidences, start);
    });
    start += shard.count;
  }
  if (sets.length === 1) return scores;
  const earlier: Decisions[] = [];
  for (const set of sets.slice(0, -1)) earlier.push(await answersOf(set, scores.labels, confidence));
  return {
    ...scores,
    classes: [...earlier.flatMap((answers) => answers.classes), ...scores.classes],
    confidences: [...earlier.flatMap((answers) => answers.confidences), ...scores.confidences],
  };
}

/** What a network alone says of each image. @param labels of the same images */
export async function answersOf(set: FeatureSet, labels: Int32Array, kind: ConfidenceKind): Promise<Decisions> {
  const [classes, confidences] = [new Int32Array(labels.length), new Float32Array(labels.length)];
  let start = 0;
  for await (const shard of set.shards()) {
    if (shard.labels.some((label, i) => label !== labels[start + i])) {
      throw new Error('the networks of a cascade were run on different images');
    }
    assertFinite(shard.logits, set.classes, start, "a network's logits");
    const decisions = decide(shard.logits, set.classes, kind);
    classes.set(decisions.classes, start);
    confidences.set(decisions.confidences, start);
    start += shard.count;
  }
  return { classes, confidences };
}

/** Nothing can be said of an image whose answer is no number: it would neither leave nor stay. @throws InputError */
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

async function readScores(entry: Entry, gates: number): Promise<Scores> {
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
