import { normalise, type Preprocessing } from '../../src/data/preprocess.js';
import { OnnxRuntimeCpu } from '../../src/engines/onnxruntime/engine.js';
import { type ConfidenceKind, type Decisions, decide, type Fitted, unfitted } from '../../src/gates/confidence.js';
import type { GatedBatch, PlacedGate } from '../../src/gates/contracts.js';
import { distances } from '../../src/gates/gate.js';
import { networkByName } from '../../src/networks/catalogue.js';
import { type LoweredNetwork, lowerNetwork } from '../../src/networks/lower.js';
import { type GatePlace, gateFeatureCounts } from '../../src/networks/onnx.js';
import { Random } from '../../src/random.js';
import { generatedTensors } from '../parity.js';

export const CLASSES = 10;
export const preprocessing: Preprocessing = { mean: [0.4, 0.5, 0.6], std: [0.25, 0.2, 0.3] };

/** A small network with generated weights, gates and images, and what Algorithm 1 needs to know of them. */
export interface GatedCase {
  readonly lowered: LoweredNetwork;
  readonly gates: readonly PlacedGate[];
  /** Bytes [count, 3, 32, 32], and the same normalised. */
  readonly pixels: Uint8Array;
  readonly images: Float32Array;
  readonly count: number;
  /** Class and confidence at every exit by the definition, the original classifier last. */
  readonly decisions: (kind: ConfidenceKind, fitted?: readonly Fitted[]) => Decisions[];
}

/** @param previous each gate but the first takes the distances of the one before */
export async function gatedCase(
  name: string,
  places: readonly GatePlace[],
  count: number,
  previous = false,
): Promise<GatedCase> {
  const network = networkByName(name);
  const lowered = lowerNetwork(network, generatedTensors(network));
  const random = new Random(11, name);
  const floats = (length: number, scale: number) =>
    Float32Array.from({ length }, () => scale * (2 * random.uniform() - 1));
  const widths = gateFeatureCounts(network, places);
  const gates = places.map((place, i): PlacedGate => {
    const features = widths[i]!;
    const weights = floats(features * CLASSES, 3 / Math.sqrt(features));
    const takes = previous && i > 0 && { previous: floats(CLASSES ** 2, 1) };
    return { place, gate: { features, classes: CLASSES, weights, bias: floats(CLASSES, 0.5), ...takes } };
  });
  const pixels = Uint8Array.from({ length: count * 3072 }, () => random.below(256));
  const images = normalise(pixels, preprocessing, 1024);
  const loaded = await (await OnnxRuntimeCpu.create(1)).loadFeatures(lowered, places);
  const { features, logits } = await loaded.run(images, count);
  await loaded.close();
  const values = [...distancesInTurn(gates, features), logits];
  return {
    lowered,
    gates,
    pixels,
    images,
    count,
    decisions: (kind, fitted) => decideInTurn(values, CLASSES, kind, fitted),
  };
}

/** Distances at successive gates, each perhaps with those of the one before. */
export function distancesInTurn(gates: readonly PlacedGate[], features: readonly Float32Array[]): Float32Array[] {
  const found: Float32Array[] = [];
  for (const [i, { gate }] of gates.entries()) found.push(distances(gate, features[i]!, found[i - 1]));
  return found;
}

/** Class and confidence at successive exits for the same images. @param fitted of each exit */
export function decideInTurn(
  exits: readonly Float32Array[],
  classes: number,
  kind: ConfidenceKind,
  fitted: readonly Fitted[] = [],
): Decisions[] {
  let before: Float32Array | undefined;
  return exits.map((distances, exit) => {
    const decisions = decide(distances, classes, kind, classes, { fitted: fitted[exit], before, exit });
    before = decisions.carried;
    return decisions;
  });
}

/** What could have been fitted to these exits. */
export function generatedFits(exits: number, random: Random, classes = CLASSES): Fitted[] {
  const between = (length: number, scale: number) =>
    Float32Array.from({ length }, () => scale * (2 * random.uniform() - 1));
  return Array.from({ length: exits }, (_, exit) => ({
    ...(exit === exits - 1 ? unfitted(classes) : { factors: between(4, 1), offsets: between(classes, 0.5) }),
    temperature: Math.fround(0.5 + random.uniform()),
  }));
}

/** Algorithm 1 on some images: the first gate whose confidence is >= its threshold. */
export function algorithm1(decisions: readonly Decisions[], thresholds: readonly number[], images: number[]) {
  return images.map((image) => {
    const gate = thresholds.findIndex((threshold, i) => decisions[i]!.confidences[image]! >= threshold);
    const exit = gate < 0 ? thresholds.length : gate;
    const { classes, confidences } = decisions[exit]!;
    return { exit, class: classes[image]!, confidence: confidences[image]! };
  });
}

export function rowsOf({ exits, classes, confidences }: GatedBatch) {
  return Array.from(exits, (exit, i) => ({ exit, class: classes[i]!, confidence: confidences[i]! }));
}

/** Thresholds from anywhere in the range of each gate's confidences, none closer than 1e-4 to one of them. */
export function randomThresholds(decisions: readonly Decisions[], random: Random): number[] {
  return decisions.slice(0, -1).map(({ confidences }) => {
    const sorted = [...confidences].sort((a, b) => a - b);
    const choice = random.below(sorted.length + 1);
    if (choice === 0) return Number.NEGATIVE_INFINITY;
    if (choice === sorted.length) return Number.POSITIVE_INFINITY;
    const [below, above] = [sorted[choice - 1]!, sorted[choice]!];
    return above - below > 2e-4 ? (above + below) / 2 : Number.POSITIVE_INFINITY;
  });
}
