/** A trained d-gate: distances d = xW - b on the pooled features as they come (scaling folded in). */
export interface Gate {
  readonly features: number;
  readonly classes: number;
  /** W, [features, classes] row-major */
  readonly weights: Float32Array;
  /** b, [classes] */
  readonly bias: Float32Array;
}

/**
 * Distances of a batch to the decision boundaries (paper, section 2.2).
 *
 * @param x pooled features [count, features] row-major
 * @returns [count, classes] row-major
 */
export function distances(gate: Gate, x: Float32Array): Float32Array {
  const { features, classes, weights, bias } = gate;
  const count = x.length / features;
  const result = new Float32Array(count * classes);
  // Sums in double precision, so that a gate gives the same distances wherever an image stands in a batch.
  const sums = new Float64Array(classes);
  for (let image = 0; image < count; image++) {
    sums.fill(0);
    for (let f = 0; f < features; f++) {
      const value = x[image * features + f]!;
      if (value === 0) continue;
      const row = f * classes;
      for (let c = 0; c < classes; c++) sums[c]! += value * weights[row + c]!;
    }
    for (let c = 0; c < classes; c++) result[image * classes + c] = sums[c]! - bias[c]!;
  }
  return result;
}
