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

/** The weights of a gate, and which one it is. */
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
    const found = await answersOf(set, own, confidence, labels);
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
 * What a network says of each image: at each of these gates of its own, and at the end.
 *
 * @param expected labels of the same images, as other networks of a cascade have them
 */
export async function answersOf(
  set: FeatureSet,
  gates: readonly ScoringGate[],
  kind: ConfidenceKind,
  expected?: Int32Array,
): Promise<{ readonly labels: Int32Array; readonly exits: readonly Decisions[] }> {
  const { count, classes } = set;
  const loaded = await Promise.all(gates.map((gate) => gate.load()));
  const labels = new Int32Array(count);
  const exits = [...gates, undefined].map(() => ({
    classes: new Int32Array(count),
    confidences: new Float32Array(count),
  }));
  let start = 0;
  for await (const shard of set.shards()) {
    labels.set(shard.labels, start);
    const atGates = loaded.map((gate, i) => distances(gate, shard.features(gates[i]!.index)));
    for (const [exit, d] of [...atGates, shard.logits].entries()) {
      assertFinite(
        d,
        classes,
        start,
        exit < gates.length ? `the distances of gate ${exit + 1}` : "the network's logits",
      );
      const decisions = decide(d, classes, kind);
      exits[exit]!.classes.set(decisions.classes, start);
      exits[exit]!.confidences.set(decisions.confidences, start);
    }
    start += shard.count;
  }
  if (expected !== undefined && (expected.length !== count || expected.some((label, i) => label !== labels[i]))) {
    throw new Error('the networks of a cascade were run on different images');
  }
  return { labels, exits };
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
