import type { GateTrainer, MatrixProduct, Scaling, TrainingData } from './contracts.js';

/** Largest block: 4,096 take seconds on two cores, and 64 MiB. */
const BLOCK = 4096;
/** Largest matrix that is inverted in double precision; a larger one by halves, in products. */
const LEAF = 256;
/** Fewest images to estimate the covariance on; at least so many for each feature. */
const [LEAST_IMAGES, IMAGES_PER_FEATURE] = [20_000, 5];
/** Bounds the inverse if features are linear combinations of others. */
const LEAST_RIDGE = 1e-6;
/** The same for each feature where products are in single precision. */
const SINGLE_RIDGE = 1e-7;

/** What is asked of an inverse by products in single precision, and the steps that find it. */
const [MOST_ERROR, POWER_STEPS] = [0.5, 8];

/** What the covariance is taken for. */
interface Preconditioning {
  readonly l2: number;
  /** Factor of the covariance: how large the loss's second derivative is on average, at most 1. */
  readonly curvature: number;
  /** Largest block, and the largest matrix that is inverted in double precision. */
  readonly block?: number;
  readonly leaf?: number;
}

/** (curvature S + lambda I)^-1, S the covariance of the scaled features, and of the bias. */
export interface Metric {
  /** Diagonal blocks, each [size, size] row-major. */
  readonly blocks: readonly Float32Array[];
  /** Of the bias, the weight of a constant feature -1. */
  readonly bias: number;
}

/**
 * The preconditioner of gate training. In its metric the curvature of both losses is at most 1, so stochastic steps of
 * length 1 suit any gate. Without it, correlated features make plain sub-gradient descent ten to a hundred times slower.
 *
 * Above 4,096 features S is approximated by `k` diagonal blocks. Steps stay safe: S <= k * blocks for any covariance.
 */
export async function preconditioner(
  data: TrainingData,
  scaling: Scaling,
  { l2, curvature, block = BLOCK, leaf = LEAF }: Preconditioning,
  engine: GateTrainer,
): Promise<Metric> {
  const count = Math.ceil(data.features / block);
  const size = Math.ceil(data.features / count);
  const sizes = Array.from({ length: count }, (_, i) => Math.min(size, data.features - i * size));
  const sums = sizes.map((width) => new Float64Array(width * width));
  // A feature of a few images that are repeated is not in every part of them, and unbounded where it is missing.
  const wanted = data.repeats ? data.count : Math.max(LEAST_IMAGES, IMAGES_PER_FEATURE * size);
  const covariance = await engine.loadCovariance(scaling, sizes);
  let images = 0;
  try {
    for await (const { x, labels } of data.batches(4096, 0)) {
      for (const [i, part] of (await covariance.run(x)).entries()) {
        const sum = sums[i]!;
        for (let at = 0; at < part.length; at++) sum[at]! += part[at]!;
      }
      images += labels.length;
      if (images >= wanted) break;
    }
  } finally {
    await covariance.close();
  }
  const product = await engine.loadProduct();
  try {
    const blocks: Float32Array[] = [];
    for (const [i, sum] of sums.entries()) {
      for (let at = 0; at < sum.length; at++) sum[at]! *= (curvature * count) / images;
      blocks.push(await invertRidged(sum, sizes[i]!, l2, { product, leaf }));
    }
    return { blocks, bias: 1 / (curvature + l2) };
  } finally {
    await product.close();
  }
}

/** The metric times V and a. @param vector [features + 1, columns] row-major */
export async function multiply(
  { blocks, bias }: Metric,
  vector: Float64Array,
  columns: number,
  product: MatrixProduct,
): Promise<Float64Array> {
  const result = vector.map((value) => bias * value);
  let start = 0;
  for (const block of blocks) {
    const size = Math.sqrt(block.length);
    const rows = Float32Array.from(vector.subarray(start, start + size * columns));
    result.set(await product.run(block, [size, size], rows, [size, columns]), start);
    start += size * columns;
  }
  return result;
}

/** How a large matrix is inverted. */
interface Halving {
  readonly product: MatrixProduct;
  readonly leaf: number;
}

/** (matrix + ridge I)^-1, of the least ridge from lambda on that rounding allows. */
async function invertRidged(matrix: Float64Array, size: number, l2: number, by: Halving): Promise<Float32Array> {
  let trace = 0;
  for (let i = 0; i < size; i++) trace += matrix[i * size + i]!;
  for (let ridge = Math.max(l2, LEAST_RIDGE, size > by.leaf ? SINGLE_RIDGE * trace : 0); ; ridge *= 10) {
    const ridged = matrix.slice();
    for (let i = 0; i < size; i++) ridged[i * size + i]! += ridge;
    try {
      const inverse = Float32Array.from(await invertByHalves(ridged, size, by));
      if (size <= by.leaf || ridge >= 1 || errorOf(inverse, matrix, size, ridge) <= MOST_ERROR) return inverse;
    } catch (error) {
      if (!(error instanceof RangeError) || !(ridge < 1)) throw error;
    }
  }
}

/**
 * How far an inverse times (matrix + ridge I) is from the identity, as the largest eigenvalue by its size, by power iteration: above 1
 * stochastic steps of length 1 diverge.
 */
function errorOf(inverse: Float32Array, matrix: Float64Array, size: number, ridge: number): number {
  const times = (by: Float32Array | Float64Array, v: Float64Array): Float64Array =>
    v.map((_, i) => {
      let sum = 0;
      for (let j = 0, at = i * size; j < size; j++, at++) sum += by[at]! * v[j]!;
      return sum;
    });
  let v = Float64Array.from({ length: size }, (_, i) => (i % 2 === 0 ? 1 : -1) / Math.sqrt(size));
  let error = 0;
  for (let step = 0; step < POWER_STEPS; step++) {
    const product = times(matrix, v).map((value, i) => value + ridge * v[i]!);
    const left = times(inverse, product).map((value, i) => value - v[i]!);
    error = Math.hypot(...left);
    v = left.map((value) => value / (error || 1));
  }
  return error;
}

/**
 * Inverse of a symmetric positive definite matrix [[A, B], [B^T, C]] by that of A and that of C - B^T A^-1 B.
 *
 * @throws RangeError if the matrix is not positive definite
 */
async function invertByHalves(matrix: Float64Array, size: number, by: Halving): Promise<Float64Array> {
  const { product } = by;
  if (size <= by.leaf) return invertPositiveDefinite(matrix, size);
  const [half, rest] = [size >> 1, size - (size >> 1)];
  const part = <T extends Float32Array | Float64Array>(to: T, row: number, column: number, columns: number): T => {
    for (let i = 0; i < to.length / columns; i++) {
      const from = (row + i) * size + column;
      to.set(matrix.subarray(from, from + columns), i * columns);
    }
    return to;
  };
  const a = await invertByHalves(part(new Float64Array(half * half), 0, 0, half), half, by);
  const b = part(new Float32Array(half * rest), 0, half, rest);
  const below = part(new Float32Array(rest * half), half, 0, half);
  const t = await product.run(below, [rest, half], Float32Array.from(a), [half, half]); // B^T A^-1
  const s = part(new Float64Array(rest * rest), half, half, rest);
  for (const [i, value] of (await product.run(t, [rest, half], b, [half, rest])).entries()) s[i]! -= value;
  const c = await invertByHalves(s, rest, by);
  const lower = await product.run(Float32Array.from(c), [rest, rest], t, [rest, half]);
  const upper = await product.run(t, [rest, half], lower, [rest, half], 'first transposed');
  for (let i = 0; i < half; i++) {
    for (let j = 0; j < half; j++) matrix[i * size + j] = a[i * half + j]! + upper[i * half + j]!;
  }
  for (let i = 0; i < rest; i++) {
    const row = (half + i) * size;
    for (let j = 0; j < half; j++) matrix[row + j] = matrix[j * size + half + i] = -lower[i * half + j]!;
    matrix.set(c.subarray(i * rest, (i + 1) * rest), row + half);
  }
  return matrix;
}

/**
 * Inverse of a symmetric positive definite matrix in double precision: each row in turn is swept out of the others
 * (Goodnight 1979), which leaves minus the inverse. Sums run along rows of the lower half, for speed.
 *
 * @param matrix [size, size] row-major; overwritten with its inverse, which is returned
 * @throws RangeError if the matrix is not positive definite
 */
export function invertPositiveDefinite(matrix: Float64Array, size: number): Float64Array {
  const column = new Float64Array(size);
  for (let k = 0; k < size; k++) {
    const pivot = matrix[k * size + k]!;
    if (!(pivot > 0)) throw new RangeError(`not positive definite at row ${k}`);
    for (let i = 0; i < size; i++) column[i] = matrix[i < k ? k * size + i : i * size + k]!;
    for (let i = 0; i < size; i++) {
      const factor = column[i]! / pivot;
      if (i !== k) for (let j = 0, at = i * size; j <= i; j++, at++) matrix[at]! -= factor * column[j]!;
      matrix[i < k ? k * size + i : i * size + k] = factor;
    }
    matrix[k * size + k] = -1 / pivot;
  }
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) matrix[j * size + i] = matrix[i * size + j] = -matrix[i * size + j]!;
  }
  return matrix;
}

/** A feature whose standard deviation is below this share of its magnitude counts as constant. */
const CONSTANT = 1e-6;

/**
 * Accumulates mean and variance batch by batch, of the differences to the first image: of n images none is further than sqrt(n)
 * standard deviations from the mean, so that in double precision the variance keeps ten digits of a million.
 */
export class ScalingAccumulator {
  readonly #first: Float64Array;
  readonly #sum: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;

  constructor(readonly features: number) {
    this.#first = new Float64Array(features);
    this.#sum = new Float64Array(features);
    this.#squares = new Float64Array(features);
  }

  /** @param x [count, features] row-major */
  add(x: Float32Array): void {
    const features = this.features;
    const [first, sum, squares] = [this.#first, this.#sum, this.#squares];
    if (this.#count === 0) first.set(x.subarray(0, features));
    this.#count += x.length / features;
    const fours = x.length - (x.length % (4 * features)); // four images at a time, for speed
    for (let i = 0; i < fours; i += 4 * features) {
      for (let f = 0, at = i; f < features; f++, at++) {
        const zero = first[f]!;
        const a = x[at]! - zero;
        const b = x[at + features]! - zero;
        const c = x[at + 2 * features]! - zero;
        const d = x[at + 3 * features]! - zero;
        sum[f]! += a + b + (c + d);
        squares[f]! += a * a + b * b + (c * c + d * d);
      }
    }
    for (let at = fours; at < x.length; at++) {
      const f = at % features;
      const a = x[at]! - first[f]!;
      sum[f]! += a;
      squares[f]! += a * a;
    }
  }

  result(): Scaling {
    const count = Math.max(1, this.#count);
    const mean = Float32Array.from(this.#first, (first, f) => first + this.#sum[f]! / count);
    const inverse = Float32Array.from(this.#squares, (squares, f) => {
      const deviation = Math.sqrt(Math.max(0, squares / count - (this.#sum[f]! / count) ** 2));
      return deviation > CONSTANT * Math.max(1, Math.abs(mean[f]!)) ? 1 / deviation : 0;
    });
    return { mean, inverse };
  }
}
