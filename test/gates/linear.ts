import type {
  BlockCovariance,
  GateTrainer,
  LinearGradient,
  LinearProblem,
  MatrixProduct,
  Scaling,
} from '../../src/gates/contracts.js';
import type { Loss } from '../../src/gates/loss.js';

/** A linear classifier d = xW - b, and images with their classes. */
export interface Classifier {
  /** [count, features] */
  readonly x: ArrayLike<number>;
  readonly labels: ArrayLike<number>;
  /** [features, classes] */
  readonly weights: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly features: number;
  readonly classes: number;
}

/** d = xW - b of one image. */
export function distancesOf({ x, weights, bias, features, classes }: Classifier, image: number): number[] {
  return Array.from({ length: classes }, (_, c) => {
    let sum = -bias[c]!;
    for (let f = 0; f < features; f++) sum += x[image * features + f]! * weights[f * classes + c]!;
    return sum;
  });
}

/** Loss summed over the images, by its definition, in double precision. */
export function lossOf(classifier: Classifier, loss: Loss): number {
  let total = 0;
  for (let image = 0; image < classifier.labels.length; image++) {
    const d = distancesOf(classifier, image);
    const label = classifier.labels[image]!;
    if (loss === 'cross-entropy') total += logSumExp(d) - d[label]!;
    else for (const [c, value] of d.entries()) total += Math.max(0, 1 - (c === label ? value : -value));
  }
  return total;
}

export function logSumExp(values: readonly number[]): number {
  const largest = Math.max(...values);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}

/** s = (x - mean) * inverse */
export function scale(x: ArrayLike<number>, { mean, inverse }: Scaling): Float64Array {
  return Float64Array.from(x, (value, i) => (value - mean[i % mean.length]!) * inverse[i % mean.length]!);
}

export const unscaled = (features: number): Scaling => ({
  mean: new Float32Array(features),
  inverse: new Float32Array(features).fill(1),
});

export function identity(size: number): Float32Array {
  return Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
}

/** Rows of `matrix` [features, columns], block by block, from the left by blocks along the diagonal. */
export function multiplyBlocks(blocks: readonly Float32Array[], matrix: ArrayLike<number>, columns: number): number[] {
  const result: number[] = [];
  for (const block of blocks) {
    const size = Math.sqrt(block.length);
    const start = result.length;
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < columns; c++) {
        let sum = 0;
        for (let j = 0; j < size; j++) sum += block[i * size + j]! * matrix[start + j * columns + c]!;
        result.push(sum);
      }
    }
  }
  return result;
}

/** A minimal engine: losses, gradients, covariances and products by their formulas. */
export function directEngine(): GateTrainer {
  return {
    loadLinearGradient: (problem) => Promise.resolve(directGradient(problem)),
    loadCovariance: (scaling, blocks) => Promise.resolve(directCovariance(scaling, blocks)),
    loadProduct: () => Promise.resolve({ run: directProduct, close: () => Promise.resolve() }),
  };
}

function directGradient({ features, classes, loss, scaling, preconditioner }: LinearProblem): LinearGradient {
  return {
    run(x, labels, weights, bias, ridge) {
      const classifier = { x: scale(x, scaling), labels, weights, bias, features, classes };
      const raw = Float64Array.from(weights, (v) => ridge * v);
      const biasGradient = new Float32Array(classes);
      for (let image = 0; image < labels.length; image++) {
        const d = distancesOf(classifier, image);
        const all = logSumExp(d);
        for (let c = 0; c < classes; c++) {
          const y = c === labels[image] ? 1 : -1;
          const slope = loss === 'hinge' ? (y * d[c]! < 1 ? -y : 0) : Math.exp(d[c]! - all) - (y + 1) / 2;
          biasGradient[c]! -= slope;
          for (let f = 0; f < features; f++) raw[f * classes + c]! += slope * classifier.x[image * features + f]!;
        }
      }
      return Promise.resolve({
        weights: Float32Array.from(preconditioner.length === 0 ? raw : multiplyBlocks(preconditioner, raw, classes)),
        bias: biasGradient,
        loss: lossOf(classifier, loss),
      });
    },
    close: () => Promise.resolve(),
  };
}

function directCovariance(scaling: Scaling, blocks: readonly number[]): BlockCovariance {
  const features = scaling.mean.length;
  return {
    run(x) {
      const scaled = scale(x, scaling);
      let start = 0;
      const sums = blocks.map((size) => {
        const sum = new Float32Array(size * size);
        for (let image = start; image < scaled.length; image += features) {
          for (let i = 0; i < size; i++) {
            for (let j = 0; j < size; j++) sum[i * size + j]! += scaled[image + i]! * scaled[image + j]!;
          }
        }
        start += size;
        return sum;
      });
      return Promise.resolve(sums);
    },
    close: () => Promise.resolve(),
  };
}

const directProduct: MatrixProduct['run'] = (a, [rows, inner], b, [, columns], transposed) => {
  const [m, k] = transposed === undefined ? [rows, inner] : [inner, rows];
  const product = Array.from({ length: m * columns }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let l = 0; l < k; l++) sum += a[transposed === undefined ? i * k + l : l * m + i]! * b[l * columns + j]!;
    return sum;
  });
  return Promise.resolve(Float32Array.from(product));
};
