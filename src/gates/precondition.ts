import type { GateTrainer, Scaling, TrainingData } from './contracts.js';
import { invertPositiveDefinite } from './linear-algebra.js';

/** Largest block whose inverse is computed whole: 1024 takes about a second. */
const BLOCK = 1024;
/** Images that the covariance is estimated on: this many, or 20 for each feature. */
const LEAST_IMAGES = 20_000;
/** Keeps the inverse bounded where features are linear combinations of others. */
const LEAST_RIDGE = 1e-6;

/**
 * The metric in which gates are trained: (S + lambda I)^-1, S being the covariance of the scaled features. It bounds the
 * curvature of both losses, so that steps of length 1 are right for every gate; without it, correlated features make
 * plain sub-gradient descent ten to a hundred times slower.
 *
 * Beyond 1024 features S is cut into `k` blocks along the diagonal; S <= k * blocks holds for every covariance, which
 * keeps the steps safe.
 *
 * @returns blocks along the diagonal, each [size, size] row-major
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
