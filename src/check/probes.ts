import type { Gate } from '../gates/gate.js';
import { isUser, type LoadedNetwork } from '../onnx/network.js';
import type { FeatureSet } from '../run/features.js';
import type { Part } from '../run/search.js';
import type { CachedGate } from '../run/train.js';
import { canonicalJson, sha256 } from '../store/files.js';
import { exitOf, type Scores, type Thresholds } from '../thresholds/evaluate.js';

/**
 * Gates without training: linear classifiers by the nearest class mean, in double precision. They are smooth in the
 * features: every engine takes the same exits, while a changed weight, image, split or comparison moves exits.
 *
 * @param features of the training images
 */
export function probeGates(features: FeatureSet): Pick<CachedGate, 'network' | 'index' | 'load'>[] {
  return features.widths.map((_, index) => ({ network: 0, index, load: () => nearestMean(features, index) }));
}

/** d_c = ((x - m).(m_c - m) - |m_c - m|^2 / 2) / A, m_c the mean of class c, m that of all, A the average |m_c - m|^2 */
async function nearestMean(set: FeatureSet, index: number): Promise<Gate> {
  const { classes } = set;
  const width = set.widths[index]!;
  const sums = new Float64Array(classes * width);
  const counts = new Float64Array(classes);
  for await (const shard of set.shards()) {
    const x = shard.features(index);
    for (const [row, label] of shard.labels.entries()) {
      counts[label]!++;
      for (let f = 0; f < width; f++) sums[label * width + f]! += x[row * width + f]!;
    }
  }
  const mean = Float64Array.from({ length: width }, (_, f) => {
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += sums[c * width + f]!;
    return sum / set.count;
  });
  // The mean of a class without images is that of all images.
  const offset = (c: number, f: number): number => (counts[c] === 0 ? 0 : sums[c * width + f]! / counts[c]! - mean[f]!);
  const squares = new Float64Array(classes);
  const along = new Float64Array(classes);
  for (let c = 0; c < classes; c++) {
    for (let f = 0; f < width; f++) {
      squares[c]! += offset(c, f) ** 2;
      along[c]! += mean[f]! * offset(c, f);
    }
  }
  const average = squares.reduce((sum, square) => sum + square, 0) / classes || 1;
  const weights = new Float32Array(width * classes);
  for (let f = 0; f < width; f++) for (let c = 0; c < classes; c++) weights[f * classes + c] = offset(c, f) / average;
  const bias = Float32Array.from(along, (dot, c) => (dot + squares[c]! / 2) / average);
  return { features: width, classes, weights, bias };
}

/** Shares of the images at a gate that leave there, at the thresholds of a baseline. */
export const shares = [0.25, 0.5, 0.75] as const;

/** Largest distance of a gap from the target rank, as a share of the images at the gate. */
const REACH = 0.05;

/**
 * Thresholds that no rounding reaches: about `share` of the images at each gate leave, and the threshold is the middle of
 * the widest gap between confidences nearby.
 */
export function thresholdsInGaps(scores: Scores, share: number): number[] {
  return atEachGate(scores, (confidences) => {
    const wanted = Math.round(share * confidences.length);
    const reach = Math.max(1, Math.round(REACH * confidences.length));
    let [best, widest] = [confidences[0] ?? 0, -1];
    for (let i = Math.max(1, wanted - reach); i <= Math.min(confidences.length - 1, wanted + reach); i++) {
      const gap = confidences[i - 1]! - confidences[i]!;
      if (gap > widest) [best, widest] = [(confidences[i - 1]! + confidences[i]!) / 2, gap];
    }
    return best;
  });
}

/**
 * Thresholds that equal the confidence of the image at the rank of `share`, which leaves by just reaching it (>= in
 * Algorithm 1). The rank determines how many leave, independent of rounding.
 */
export function thresholdsAtRanks(scores: Scores, share: number): number[] {
  return atEachGate(scores, (confidences) => {
    const rank = Math.min(confidences.length - 1, Math.max(0, Math.round(share * confidences.length) - 1));
    return confidences[rank] ?? 0;
  });
}

/** @param thresholdOf gets the confidences of the images at a gate, descending */
function atEachGate(scores: Scores, thresholdOf: (confidences: Float32Array) => number): number[] {
  const thresholds: number[] = [];
  let left = Array.from({ length: scores.count }, (_, i) => i);
  for (const confidences of scores.confidences) {
    const there = Float32Array.from(left, (image) => confidences[image]!)
      .filter((value) => !Number.isNaN(value))
      .sort()
      .reverse();
    const threshold = thresholdOf(there);
    thresholds.push(threshold);
    left = left.filter((image) => exitOf(scores, thresholds, image) === thresholds.length);
  }
  return thresholds;
}

/** Number of images whose exit depends on rounding: at a gate that they reach, their confidence is near the threshold. */
export function nearThreshold(scores: Scores, thresholds: Thresholds, distance: number): number {
  let near = 0;
  for (let image = 0; image < scores.count; image++) {
    for (const [gate, threshold] of thresholds.entries()) {
      const confidence = scores.confidences[gate]![image]!;
      const isNear = Math.abs(confidence - threshold) <= distance;
      if (isNear) near++;
      if (isNear || confidence >= threshold) break;
    }
  }
  return near;
}

/** Hash of all weights as engines get them, independent of the file format. */
export function weightsHash(network: LoadedNetwork): string {
  if (isUser(network)) return network.graph.model.file.sha256;
  const hashes: string[] = [];
  const walk = (value: unknown): void => {
    if (value instanceof Float32Array) {
      hashes.push(sha256(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)));
    } else if (typeof value === 'object' && value !== null) for (const item of Object.values(value)) walk(item);
  };
  walk(network);
  return sha256(hashes.join());
}

export function partsHash(parts: readonly Part[]): string {
  const images = parts.map(({ selection, evaluation }) => [[...selection.images], [...evaluation.images]]);
  return sha256(canonicalJson(images));
}

/** Root mean squares, of each gate's features, then of the logits: sensitive to weights and preprocessing, not to rounding. */
export async function featureRms(features: FeatureSet): Promise<number[]> {
  const widths = [...features.widths, features.classes];
  const sums = widths.map(() => 0);
  for await (const shard of features.shards()) {
    for (const gate of sums.keys()) {
      const values = gate < features.widths.length ? shard.features(gate) : shard.logits;
      sums[gate]! += values.reduce((sum, value) => sum + value * value, 0);
    }
  }
  return sums.map((sum, i) => Math.sqrt(sum / (features.count * widths[i]!)));
}
