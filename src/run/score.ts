import type { RawTensor } from '../checkpoints/dtypes.js';
import { encodeSafetensors, parseSafetensors, type Storable } from '../checkpoints/safetensors.js';
import { InputError } from '../errors.js';
import { type ConfidenceKind, decide } from '../gates/confidence.js';
import { distances } from '../gates/gate.js';
import { codeOf } from '../store/code.js';
import type { Entry } from '../store/store.js';
import type { Scores } from '../thresholds/evaluate.js';
import type { RunContext } from './context.js';
import type { FeatureSet } from './features.js';
import { makeAll } from './make.js';
import type { CachedGate } from './train.js';

const FILE = 'scores.safetensors';

/** Class and confidence of each image at each gate: from the cache, or computed into it. No network is needed. */
export async function scoreImages(
  context: RunContext,
  features: FeatureSet,
  gates: readonly CachedGate[],
  confidence: ConfidenceKind,
  split: string,
): Promise<Scores> {
  const entry = scoresEntry(context, features, gates, confidence);
  let computed: Scores | undefined;
  const label = `scores of ${split} images`;
  const make = async (): Promise<void> => {
    context.progress.note(`${label}: not in the cache; applying the gates`);
    computed = await computeScores(features, gates, confidence);
    await entry.write(FILE, encodeSafetensors(arraysOf(computed)));
    const origin = await features.origin();
    await entry.finish({ images: computed.count, ...(origin && { features: origin }) });
  };
  await makeAll(context.progress, [{ entry, label, make }]);
  return computed ?? readScores(entry, gates.length);
}

/** Where the scores of these gates are cached, or would be. */
export function scoresEntry(
  context: RunContext,
  features: FeatureSet,
  gates: readonly { readonly entry: Entry }[],
  confidence: ConfidenceKind,
): Entry {
  return context.store.entry('scores', {
    features: features.entry.key,
    gates: gates.map((gate) => gate.entry.key),
    confidence,
    code: codeOf('run/score'),
  });
}

/** Class and confidence of each image at each of these gates, not cached. */
export async function computeScores(
  features: FeatureSet,
  gates: readonly Pick<CachedGate, 'index' | 'load'>[],
  confidence: ConfidenceKind,
): Promise<Scores> {
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
  return scores;
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
