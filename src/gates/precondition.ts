import type { GateTrainer, Scaling, TrainingData } from './contracts.js';

/** Largest block to invert: 1024 takes about a second. */
const BLOCK = 1024;
/** Fewest images to estimate the covariance on; at least 20 for each feature. */
const LEAST_IMAGES = 20_000;
/** Bounds the inverse if features are linear combinations of others. */
const LEAST_RIDGE = 1e-6;

/**
 * The preconditioner of gate training: (S + lambda I)^-1, where S is the covariance of the scaled features. It bounds
 * the curvature of both losses, so that steps of length 1 suit every gate; without it, correlated features make plain
 * sub-gradient descent ten to a hundred times slower.
 *
 * Above 1024 features S is approximated by `k` diagonal blocks; S <= k * blocks holds for every covariance, so that the
 * steps stay safe.
 *
 * @returns diagonal blocks, each [size, size] row-major
 */
export async function preconditioner(
  data: TrainingData,
  scaling: Scaling,
  l2: number,
  engine: GateTrainer,
): Promise<Float32Array[]> {
  const count = Math.ceil(data.features / BLOCK);
  const size = Math.ceil(data.features / count);
  const sizes = Array.from({ length: count }, (_, i) => Math.min(size, data.features - i * size));
  const sums = sizes.map((block) => new Float64Array(block * block));
  const wanted = Math.max(LEAST_IMAGES, 20 * size);
  const covariance = await engine.loadCovariance(scaling, sizes);
  let images = 0;
  try {
    for await (const { x, labels } of data.batches(1024, 0)) {
      for (const [block, part] of (await covariance.run(x)).entries()) {
        const sum = sums[block]!;
        for (let i = 0; i < part.length; i++) sum[i]! += part[i]!;
      }
      images += labels.length;
      if (images >= wanted) break;
    }
  } finally {
    await covariance.close();
  }
  return sums.map((sum, block) => {
    const width = sizes[block]!;
    for (let i = 0; i < sum.length; i++) sum[i]! *= count / images;
    for (let i = 0; i < width; i++) sum[i * width + i]! += Math.max(l2, LEAST_RIDGE);
    return Float32Array.from(invertPositiveDefinite(sum, width));
  });
}

/**
 * Inverse of a symmetric positive definite matrix by Cholesky factorisation, in double precision.
 *
 * @param matrix [size, size] row-major; overwritten with its inverse, which is returned
 * @throws RangeError if the matrix is not positive definite
 */
export function invertPositiveDefinite(matrix: Float64Array, size: number): Float64Array {
  cholesky(matrix, size);
  invertLower(matrix, size);
  // inverse = L^-T L^-1; its row i needs rows >= i of L^-1 only, so the result can overwrite row by row.
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = i; k < size; k++) sum += matrix[k * size + i]! * matrix[k * size + j]!;
      matrix[j * size + i] = sum; // upper half; the lower half is still in use
    }
  }
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) matrix[i * size + j] = matrix[j * size + i]!;
  return matrix;
}

/** Replaces the lower half, diagonal included, by the Cholesky factor L. */
function cholesky(matrix: Float64Array, size: number): void {
  for (let j = 0; j < size; j++) {
    for (let i = j; i < size; i++) {
      let sum = matrix[i * size + j]!;
      for (let k = 0; k < j; k++) sum -= matrix[i * size + k]! * matrix[j * size + k]!;
      if (i === j) {
        if (!(sum > 0)) throw new RangeError(`not positive definite at row ${j}`);
        matrix[j * size + j] = Math.sqrt(sum);
      } else {
        matrix[i * size + j] = sum / matrix[j * size + j]!;
      }
    }
  }
}

/** Replaces the lower half, a triangular matrix, by its inverse. */
function invertLower(matrix: Float64Array, size: number): void {
  for (let j = 0; j < size; j++) {
    matrix[j * size + j] = 1 / matrix[j * size + j]!;
    for (let i = j + 1; i < size; i++) {
      let sum = 0;
      for (let k = j; k < i; k++) sum += matrix[i * size + k]! * matrix[k * size + j]!;
      matrix[i * size + j] = -sum / matrix[i * size + i]!;
    }
  }
}
