import type { Scaling } from './contracts.js';

/** A feature whose standard deviation is below this share of its magnitude counts as constant. */
const CONSTANT = 1e-6;

/** Accumulates mean and variance batch by batch (Chan et al.'s pairwise update: stable in one pass). */
export class ScalingAccumulator {
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;
  #count = 0;

  constructor(readonly features: number) {
    this.#mean = new Float64Array(features);
    this.#squares = new Float64Array(features);
  }

  /** @param x [count, features] row-major */
  add(x: Float32Array): void {
    const { features } = this;
    const count = x.length / features;
    if (count === 0) return;
    const sum = new Float64Array(features);
    for (let i = 0; i < x.length; i += features) for (let f = 0; f < features; f++) sum[f]! += x[i + f]!;
    const squares = new Float64Array(features);
    for (let f = 0; f < features; f++) sum[f]! /= count;
    for (let i = 0; i < x.length; i += features) {
      for (let f = 0; f < features; f++) squares[f]! += (x[i + f]! - sum[f]!) ** 2;
    }
    const total = this.#count + count;
    for (let f = 0; f < features; f++) {
      const shift = sum[f]! - this.#mean[f]!;
      this.#mean[f]! += (shift * count) / total;
      this.#squares[f]! += squares[f]! + (shift * shift * this.#count * count) / total;
    }
    this.#count = total;
  }

  result(): Scaling {
    const inverse = this.#squares.map((squares, f) => {
      const deviation = Math.sqrt(squares / Math.max(1, this.#count));
      return deviation > CONSTANT * Math.max(1, Math.abs(this.#mean[f]!)) ? 1 / deviation : 0;
    });
    return { mean: Float32Array.from(this.#mean), inverse: Float32Array.from(inverse) };
  }
}
