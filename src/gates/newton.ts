import { InputError } from '../errors.js';
import type { DualPoint } from './certificate.js';
import type { MatrixProduct } from './contracts.js';
import { multiply, type Parameters, type Refinement } from './refine.js';

/** Images of a batch. */
const BATCH_IMAGES = 2048;
/** Width of the smoothing; margins are 1. */
const WIDTH = 0.3;
/** Share of what the smoothing leaves that the rest may take before the smoothing is moved. */
const SHARE = 0.5;
/** Conjugate gradients end at this share of the first residual, or after so many steps. */
const [RESIDUAL, MOST_STEPS] = [0.2, 100];
/** Bytes of rows that are held at a time, by classes that step together; a single class may take more. */
const ROW_BYTES = 2 ** 28;

/** Parameters and their dual point. */
interface Solved extends Parameters {
  readonly dualOf: DualPoint;
}

/**
 * Lowers the one-vs-all hinge objective to a duality gap, each class on its own, by the method of multipliers
 * (Rockafellar 1976) with semismooth Newton steps. The hinge is smoothed over a width g about duals b:
 * max over 0 <= a <= 1 of a (1 - m) - g/2 (a - b)^2 with m = y d. Its slope a = clip(b + (1 - m) / g, 0, 1) is a point of
 * the dual problem, so that the objective is at most
 *
 *   mean(max(0, 1 - m) - a (1 - m)) + |gradient of the smoothed objective|^2 / (2 lambda)
 *
 * above the lowest. As soon as the second part is smaller, b becomes a: the first falls without a narrower width. The second
 * derivative, lambda I + s^T s / (n g) over the images with 0 < a < 1, is never formed: conjugate gradients need its
 * products only, preconditioned by the inverse feature covariance. Step lengths are exact.
 *
 * @throws InputError if the distances are not finite
 */
export async function newtonHinge(start: Parameters, problem: Refinement): Promise<Solved> {
  const { features, classes, count } = problem.data;
  const hinges = Array.from({ length: classes }, (_, c) => {
    const column = Float64Array.from({ length: features }, (__, f) => start.weights[f * classes + c]!);
    return new BinaryHinge(c, Float64Array.from([...column, start.bias[c]!]), count, problem.l2);
  });
  const product = await problem.engine.loadProduct();
  try {
    await new Newton(hinges, problem, product).solve();
  } finally {
    await product.close();
  }
  const weights = new Float32Array(features * classes);
  for (const [c, hinge] of hinges.entries()) {
    for (let f = 0; f < features; f++) weights[f * classes + c] = hinge.weights[f]!;
  }
  const bias = Float32Array.from(hinges, (hinge) => hinge.weights[features]!);
  return { weights, bias, dualOf: (image, c) => hinges[c]!.dualOf(image) };
}

class Newton {
  #passes = 0;
  readonly #scaled: Float32Array;

  constructor(
    readonly hinges: readonly BinaryHinge[],
    readonly problem: Refinement,
    readonly product: MatrixProduct,
  ) {
    this.#scaled = new Float32Array(Math.min(BATCH_IMAGES, problem.data.count) * problem.data.features);
  }

  async solve(): Promise<void> {
    const { passes, gap, onPass } = this.problem;
    const first = await this.#along(this.hinges.map((hinge) => hinge.weights));
    for (const [c, hinge] of this.hinges.entries()) hinge.margins.set(first[c]!);
    for (let open = this.hinges; ; ) {
      const sums = await this.#sums(open);
      const standings = open.map((hinge, k) => hinge.standing(sums[k]!.now));
      onPass(this.#passes, `gap ${Math.max(...standings.map((standing) => standing.gap)).toExponential(1)}`);
      const wrong = standings.map((standing) => !(standing.gap <= gap));
      if (!wrong.includes(true) || this.#passes >= passes) return;
      const residuals = new Map<BinaryHinge, Float64Array>();
      for (const [k, hinge] of open.entries()) {
        if (!wrong[k]) continue;
        const moves = standings[k]!.rest <= SHARE * standings[k]!.smoothing;
        if (moves) hinge.moveSmoothing();
        residuals.set(hinge, hinge.residual(moves ? sums[k]!.moved : sums[k]!.now));
      }
      open = [...residuals.keys()];
      const directions = await this.#directions(residuals);
      const found = await this.#along([...directions.values()], [...directions.keys()]);
      let moved = 0;
      for (const [k, [hinge, direction]] of [...directions].entries()) moved += hinge.advance(direction, found[k]!);
      if (moved === 0) return; // rounding hides what is left
    }
  }

  /** Newton directions of the classes, of as many as have room for their rows. */
  async #directions(residuals: ReadonlyMap<BinaryHinge, Float64Array>): Promise<Map<BinaryHinge, Float64Array>> {
    const { features } = this.problem.data;
    const rows = new Map<BinaryHinge, Float32Array>();
    let bytes = 0;
    for (const hinge of residuals.keys()) {
      const size = hinge.bandCount() * features;
      bytes += 4 * size;
      if (rows.size > 0 && bytes > ROW_BYTES) break;
      rows.set(hinge, new Float32Array(size + 3 * features)); // three rows more for `curvature`
    }
    await this.#readBands(rows);
    const directions = new Map<BinaryHinge, Float64Array>();
    for (const [hinge, band] of rows) directions.set(hinge, this.#direction(residuals.get(hinge)!, band));
    return directions;
  }

  /** (lambda I + R^T R / (n g)) D = residual by conjugate gradients. @param band s of R = (s, -1), [images + 3, features] */
  #direction(residual: Float64Array, band: Float32Array): Float64Array {
    const { metric, l2, data } = this.problem;
    const { features } = data;
    const result = new Float64Array(residual.length);
    let conditioned = multiply(metric, residual, 1, l2);
    const step = conditioned.slice();
    let square = dot(residual, conditioned);
    const enough = RESIDUAL ** 2 * dot(residual, residual);
    for (let k = 0; k < MOST_STEPS && dot(residual, residual) > enough; k++) {
      const curved = curvature(band, band.length / features - 3, step);
      const bent = step.map((value, f) => l2 * value + curved[f]! / (data.count * WIDTH));
      const length = square / dot(step, bent);
      for (let f = 0; f < step.length; f++) {
        result[f]! += length * step[f]!;
        residual[f]! -= length * bent[f]!;
      }
      conditioned = multiply(metric, residual, 1, l2);
      const next = dot(residual, conditioned);
      for (let f = 0; f < step.length; f++) step[f] = conditioned[f]! + (next / square) * step[f]!;
      square = next;
    }
    return result;
  }

  /** Standardised features of the bands' images. */
  async #readBands(rows: ReadonlyMap<BinaryHinge, Float32Array>): Promise<void> {
    const { features } = this.problem.data;
    const filled = new Map([...rows].map(([hinge]) => [hinge, 0]));
    let start = 0;
    for await (const { x, labels } of this.problem.data.batches(BATCH_IMAGES)) {
      for (let i = 0; i < labels.length; i++) {
        for (const [hinge, band] of rows) {
          if (!hinge.isInBand(start + i)) continue;
          const at = filled.get(hinge)!;
          this.#scale(x.subarray(i * features, (i + 1) * features), band.subarray(at, at + features));
          filled.set(hinge, at + features);
        }
      }
      start += labels.length;
    }
    this.#passes++;
  }

  /** Sums of dual y (s, -1) over the images, [features + 1]: as the duals are, and as they are when the smoothing moves. */
  async #sums(hinges: readonly BinaryHinge[]): Promise<{ now: Float64Array; moved: Float64Array }[]> {
    const { features } = this.problem.data;
    const columns = 2 * hinges.length;
    const sums = hinges.map(() => ({ now: new Float64Array(features + 1), moved: new Float64Array(features + 1) }));
    let start = 0;
    for await (const { x, labels } of this.problem.data.batches(BATCH_IMAGES)) {
      const duals = new Float32Array(labels.length * columns);
      for (const [k, hinge] of hinges.entries()) {
        for (let i = 0; i < labels.length; i++) {
          const y = labels[i] === hinge.label ? 1 : -1;
          duals[i * columns + 2 * k] = y * hinge.dualOf(start + i);
          duals[i * columns + 2 * k + 1] = y * hinge.movedDualOf(start + i);
          sums[k]!.now[features]! -= duals[i * columns + 2 * k]!;
          sums[k]!.moved[features]! -= duals[i * columns + 2 * k + 1]!;
        }
      }
      const [shape, other] = [[labels.length, features] as const, [labels.length, columns] as const];
      const part = await this.product.run(this.#scale(x), shape, duals, other, 'first transposed');
      for (const [k, { now, moved }] of sums.entries()) {
        for (let f = 0, at = 2 * k; f < features; f++, at += columns) {
          now[f]! += part[at]!;
          moved[f]! += part[at + 1]!;
        }
      }
      start += labels.length;
    }
    this.#passes++;
    return sums;
  }

  /** y (s, -1).D of every image by class, [images]. @param directions of the classes, [features + 1] */
  async #along(directions: readonly Float64Array[], hinges = this.hinges): Promise<Float64Array[]> {
    const { data, label: gate } = this.problem;
    const { features } = data;
    const columns = directions.length;
    const matrix = new Float32Array(features * columns);
    for (const [k, direction] of directions.entries()) {
      for (let f = 0; f < features; f++) matrix[f * columns + k] = direction[f]!;
    }
    const found = directions.map(() => new Float64Array(data.count));
    let start = 0;
    for await (const { x, labels } of data.batches(BATCH_IMAGES)) {
      const shape = [labels.length, features] as const;
      const d = await this.product.run(this.#scale(x), shape, matrix, [features, columns]);
      if (!d.every(Number.isFinite)) throw new InputError(`${gate}: the distances are not finite`);
      for (const [k, direction] of directions.entries()) {
        for (let i = 0; i < labels.length; i++) {
          const value = d[i * columns + k]! - direction[features]!;
          found[k]![start + i] = labels[i] === hinges[k]!.label ? value : -value;
        }
      }
      start += labels.length;
    }
    this.#passes++;
    return found;
  }

  /** Standardised features; without an array of their own good until the next call. */
  #scale(x: Float32Array, s = this.#scaled.subarray(0, x.length)): Float32Array {
    const { mean, inverse } = this.problem.scaling;
    const features = mean.length;
    for (let start = 0; start < x.length; start += features) {
      for (let f = 0; f < features; f++) s[start + f] = (x[start + f]! - mean[f]!) * inverse[f]!;
    }
    return s;
  }
}

/** One class against the others: mean hinge + lambda/2 |w|^2, w = (V, a) with a the weight of a feature -1. */
class BinaryHinge {
  /** y d, [images] */
  readonly margins: Float64Array;
  /** Duals about which the hinge is smoothed, [images] */
  readonly centres: Float32Array;

  constructor(
    readonly label: number,
    readonly weights: Float64Array,
    count: number,
    readonly l2: number,
  ) {
    this.margins = new Float64Array(count);
    this.centres = new Float32Array(count);
  }

  dualOf(image: number): number {
    return clip(this.centres[image]! + (1 - this.margins[image]!) / WIDTH);
  }

  /** The dual once the smoothing is about the duals of now. */
  movedDualOf(image: number): number {
    return clip(this.dualOf(image) + (1 - this.margins[image]!) / WIDTH);
  }

  moveSmoothing(): void {
    for (let i = 0; i < this.centres.length; i++) this.centres[i] = this.dualOf(i);
  }

  isInBand(image: number): boolean {
    const dual = this.dualOf(image);
    return dual > 0 && dual < 1;
  }

  bandCount(): number {
    let count = 0;
    for (let i = 0; i < this.margins.length; i++) count += Number(this.isInBand(i));
    return count;
  }

  /** Minus the gradient of the smoothed objective. @param sums of dual y (s, -1) */
  residual(sums: Float64Array): Float64Array {
    return sums.map((value, f) => value / this.margins.length - this.l2 * this.weights[f]!);
  }

  /** Bounds of the relative duality gap: in all, what the smoothing contributes, and what is left of its problem. */
  standing(sums: Float64Array): { gap: number; smoothing: number; rest: number } {
    const { margins, weights, l2 } = this;
    let [loss, smoothing] = [0, 0];
    for (let i = 0; i < margins.length; i++) {
      const slack = 1 - margins[i]!;
      loss += Math.max(0, slack);
      smoothing += Math.max(0, slack) - this.dualOf(i) * slack;
    }
    const objective = loss / margins.length + (l2 / 2) * dot(weights, weights);
    const residual = this.residual(sums);
    const [a, b] = [smoothing / margins.length / objective, dot(residual, residual) / (2 * l2) / objective];
    return { gap: a + b, smoothing: a, rest: b };
  }

  /** Goes along a direction to the lowest smoothed objective. @param along its y s.D, [images] @returns the length */
  advance(direction: Float64Array, along: Float64Array): number {
    const { margins, centres, weights, l2 } = this;
    const [first, second] = [dot(weights, direction), dot(direction, direction)];
    const slope = (t: number): number => {
      let total = 0;
      for (let i = 0; i < margins.length; i++) {
        total += clip(centres[i]! + (1 - margins[i]! - t * along[i]!) / WIDTH) * along[i]!;
      }
      return l2 * (first + t * second) - total / margins.length;
    };
    let [low, high] = [0, 1];
    while (slope(high) < 0 && high < 1024) [low, high] = [high, 2 * high];
    for (let halving = 0; halving < 20; halving++) {
      const middle = (low + high) / 2;
      if (slope(middle) < 0) low = middle;
      else high = middle;
    }
    for (let i = 0; i < margins.length; i++) margins[i]! += low * along[i]!;
    for (let f = 0; f < weights.length; f++) weights[f]! += low * direction[f]!;
    return low;
  }
}

const clip = (value: number): number => Math.min(1, Math.max(0, value));

/** R^T (R v) of rows R = (s, -1), four at a time; `band` has room for three more rows, of zeros. */
function curvature(band: Float32Array, count: number, v: Float64Array): Float64Array {
  const features = v.length - 1;
  const result = new Float64Array(v.length);
  for (let image = 0; image < count; image += 4) {
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => (image + i) * features) as [number, number, number, number];
    let [p, q, r, s] = [0, 0, 0, 0];
    for (let f = 0; f < features; f++) {
      const value = v[f]!;
      p += band[a + f]! * value;
      q += band[b + f]! * value;
      r += band[c + f]! * value;
      s += band[d + f]! * value;
    }
    [p, q, r, s] = [p, q, r, s].map((sum, i) => (image + i < count ? sum - v[features]! : 0)) as [
      number,
      number,
      number,
      number,
    ];
    for (let f = 0; f < features; f++) {
      result[f]! += p * band[a + f]! + q * band[b + f]! + r * band[c + f]! + s * band[d + f]!;
    }
    result[features]! -= p + q + r + s;
  }
  return result;
}

function dot(a: Float64Array, b: Float64Array): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}
