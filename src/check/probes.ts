import type { Gate } from '../gates/gate.js';
import type { FeatureSet } from '../run/features.js';
import type { CachedGate } from '../run/train.js';

/**
 * Gates that need no training: linear classifiers by the nearest class mean, in double precision. What they say hangs
 * smoothly on the features, so that every engine sends every image to the same exit, while a changed weight, image, split
 * or comparison shows. (Trained gates do not serve here: with few images, a rounding that moves one of them across the
 * hinge's kink changes the gate in the third digit.)
 *
 * @param features of the training images
 */
export function probeGates(features: FeatureSet): Pick<CachedGate, 'index' | 'load'>[] {
  return features.widths.map((_, index) => ({ index, load: () => nearestMean(features, index) }));
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
  // A class without images lies at the mean of all.
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
