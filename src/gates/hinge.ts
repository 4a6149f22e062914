import { InputError } from '../errors.js';
import type { DualPoint } from './certificate.js';
import type { MatrixProduct } from './contracts.js';
import { distances, type Gate } from './gate.js';
import { Curvature, dot, type Slope } from './lbfgs.js';
import { multiply } from './precondition.js';
import type { Parameters, Refinement } from './softmax.js';

/** Images of a batch. */
const BATCH_IMAGES = 2048;
/** Width of the smoothing; margins are 1. With fewer images than features most stand at their margin, and a wide one is faster. */
const [WIDTH, WIDE] = [0.3, 16];
/** The smoothed hinge's second derivative on average: about the share of the images within the width, over the width. */
export const HINGE_CURVATURE = 0.2;
/** The smoothing moves once the rest of the gap is at most this share of what the smoothing leaves. */
const SHARE = 1;
/** A step is as long as it should be where the slope along it is at most this share of the first; or after so many trials. */
const [EXACT, MOST_TRIALS] = [1e-3, 20];
/** A shorter share of a step is rounding. */
const NEGLIGIBLE = 1e-5;

/**
 * Lowers the one-vs-all hinge objective to a duality gap, each class on its own, by the method of multipliers
 * (Rockafellar 1976) with L-BFGS steps from w = 0. The hinge is smoothed over a width g about duals b:
 * max over 0 <= a <= 1 of a (1 - m) - g/2 (a - b)^2 with m = y d. Its slope a = clip(b + (1 - m) / g, 0, 1) is a point of
 * the dual problem, so that the objective is at most
 *
 *   mean(max(0, 1 - m) - a (1 - m)) + |gradient of the smoothed objective|^2 / (2 lambda)
 *
 * above the lowest. As soon as the second part is smaller, b becomes a: the first falls without a narrower width. All classes
 * share their passes: one finds the slopes, one the change of the margins along a step, whose length is then exact.
 * Nothing is drawn at random.
 */
export class HingeOptimum {
  readonly #hinges: readonly BinaryHinge[];
  #passes = 0;

  constructor(readonly problem: Refinement) {
    const { features, classes, count } = problem.data;
    const width = count < features ? WIDE : WIDTH;
    this.#hinges = Array.from({ length: classes }, (_, c) => new BinaryHinge(c, features, count, problem.l2, width));
  }

  get isSpent(): boolean {
    return this.#passes >= this.problem.passes;
  }

  /** The dual point that belongs to the parameters. */
  dualOf: DualPoint = (image, c) => this.#hinges[c]!.dualOf(image);

  /** Goes on until the gap is reached, the passes are spent, or rounding hides the rest. @throws InputError */
  async solve(): Promise<Parameters> {
    const { features, classes } = this.problem.data;
    const product = await this.problem.engine.loadProduct();
    try {
      await this.#descend(product);
    } finally {
      await product.close();
    }
    const weights = new Float32Array(features * classes);
    for (const [c, hinge] of this.#hinges.entries()) {
      for (let f = 0; f < features; f++) weights[f * classes + c] = hinge.weights[f]!;
    }
    return { weights, bias: Float32Array.from(this.#hinges, (hinge) => hinge.weights[features]!) };
  }

  /** Finds the margins anew, as the gate of these parameters has them: those of many steps have added up their rounding. */
  async refresh(gate: Gate): Promise<void> {
    let start = 0;
    for await (const { x, labels } of this.problem.data.batches(BATCH_IMAGES)) {
      const d = distances(gate, x);
      for (const hinge of this.#hinges) hinge.setMargins(d, labels, start, gate.classes);
      start += labels.length;
    }
  }

  async #descend(product: MatrixProduct): Promise<void> {
    const { passes, gap, onPass } = this.problem;
    for (let open = this.#hinges; open.length > 0; ) {
      const slopes = await this.#slopes(open, product);
      const standings = open.map((hinge, k) => hinge.standing(slopes[k]!.now));
      onPass(this.#passes, `gap ${Math.max(...standings.map((standing) => standing.gap)).toExponential(1)}`);
      const directions = new Map<BinaryHinge, Float64Array>();
      for (const [k, hinge] of open.entries()) {
        const { gap: reached, smoothing, rest } = standings[k]!;
        if (!(reached <= gap)) directions.set(hinge, hinge.direction(slopes[k]!, rest <= SHARE * smoothing));
      }
      if (directions.size === 0 || this.#passes >= Math.max(2, passes)) return; // one step at least
      const along = await this.#along(directions, product);
      open = [...directions].flatMap(([hinge, direction], k) => (hinge.advance(direction, along[k]!) ? [hinge] : []));
    }
  }
  /** X^T (y duals) of each class, and what follows for its slopes. */
  async #slopes(hinges: readonly BinaryHinge[], product: MatrixProduct): Promise<Slopes[]> {
    const { data, scaling, metric } = this.problem;
    const { features } = data;
    const columns = 2 * hinges.length;
    const sums = new Float64Array((features + 1) * columns); // of y duals (x, -1)
    let start = 0;
    for await (const { x, labels } of data.batches(BATCH_IMAGES)) {
      const duals = new Float32Array(labels.length * columns);
      for (const [k, hinge] of hinges.entries()) hinge.writeDuals(labels, start, duals, 2 * k, columns);
      const [shape, other] = [[labels.length, columns] as const, [labels.length, features] as const];
      // The narrow matrix first: in half the time of the other way.
      const part = await product.run(duals, shape, x, other, 'first transposed');
      for (let column = 0; column < columns; column++) {
        for (let f = 0; f < features; f++) sums[f * columns + column]! += part[column * features + f]!;
        let total = sums[features * columns + column]!;
        for (let i = column; i < duals.length; i += columns) total -= duals[i]!;
        sums[features * columns + column] = total;
      }
      start += labels.length;
    }
    this.#passes++;
    // Features were not scaled: s = (x - mean) * inverse, and the last row has minus the sum of y duals.
    const gradients = sums.map((sum, at) => {
      const [f, column] = [Math.floor(at / columns), at % columns];
      const total = sums[features * columns + column]!;
      const scaled = f === features ? sum : (sum + total * scaling.mean[f]!) * scaling.inverse[f]!;
      return hinges[column >> 1]!.slope(f, scaled);
    });
    const conditioned = await multiply(metric, gradients, columns, product);
    const column = (of: Float64Array, k: number) =>
      Float64Array.from({ length: features + 1 }, (_, f) => of[f * columns + k]!);
    const slope = (k: number): Slope => ({ gradient: column(gradients, k), conditioned: column(conditioned, k) });
    return hinges.map((_, k) => ({ now: slope(2 * k), moved: slope(2 * k + 1) }));
  }

  /** y (s, -1).D of every image by class, [images]. @param directions D of the classes, [features + 1] */
  async #along(directions: ReadonlyMap<BinaryHinge, Float64Array>, product: MatrixProduct): Promise<Float32Array[]> {
    const { data, scaling, label: gate } = this.problem;
    const { features } = data;
    const columns = directions.size;
    const matrix = new Float32Array(features * columns);
    const offsets = [...directions.values()].map((direction, k) => {
      let offset = direction[features]!;
      for (let f = 0; f < features; f++) {
        const at = f * columns + k;
        matrix[at] = direction[f]! * scaling.inverse[f]!;
        offset += matrix[at]! * scaling.mean[f]!;
      }
      return offset;
    });
    const hinges = [...directions.keys()];
    const found = hinges.map(() => new Float32Array(data.count));
    let start = 0;
    for await (const { x, labels } of data.batches(BATCH_IMAGES)) {
      const d = await product.run(x, [labels.length, features], matrix, [features, columns]);
      for (const [k, { label }] of hinges.entries()) {
        const [into, offset] = [found[k]!, offsets[k]!];
        let total = 0;
        for (let i = 0, at = k; i < labels.length; i++, at += columns) {
          const value = d[at]! - offset;
          total += value;
          into[start + i] = labels[i] === label ? value : -value;
        }
        if (!Number.isFinite(total)) throw new InputError(`${gate}: the distances are not finite`);
      }
      start += labels.length;
    }
    this.#passes++;
    return found;
  }
}

/** The smoothed objective's slope of a class: as the duals are, and as they are once the smoothing moves. */
interface Slopes {
  readonly now: Slope;
  readonly moved: Slope;
}

/** One class against the others: mean hinge + lambda/2 |w|^2, w = (V, a) with a the weight of a feature -1. */
class BinaryHinge {
  /** [features + 1] */
  readonly weights: Float64Array;
  /** y d, [images] */
  readonly margins: Float64Array;
  /** Duals about which the hinge is smoothed, [images] */
  readonly centres: Float32Array;
  readonly #curvature = new Curvature(1);
  /** The slope where the last step began, with the smoothing of now, and the step. */
  #from: Slope | undefined;
  #step: Float64Array | undefined;

  constructor(
    readonly label: number,
    features: number,
    count: number,
    readonly l2: number,
    readonly width: number,
  ) {
    this.weights = new Float64Array(features + 1);
    this.margins = new Float64Array(count);
    this.centres = new Float32Array(count);
  }

  dualOf(image: number): number {
    return clip(this.centres[image]! + (1 - this.margins[image]!) / this.width);
  }

  /** y times the duals of a batch into two columns: as they are now, and once the smoothing is about them. */
  writeDuals(labels: Int32Array, start: number, into: Float32Array, column: number, columns: number): void {
    const { margins, centres, label } = this;
    for (let i = 0, at = column; i < labels.length; i++, at += columns) {
      const y = labels[i] === label ? 1 : -1;
      const slack = (1 - margins[start + i]!) / this.width;
      const dual = clip(centres[start + i]! + slack);
      into[at] = y * dual;
      into[at + 1] = y * clip(dual + slack);
    }
  }

  /** @param d distances of a batch, [images, classes] */
  setMargins(d: Float32Array, labels: Int32Array, start: number, classes: number): void {
    for (let i = 0; i < labels.length; i++) {
      const value = d[i * classes + this.label]!;
      this.margins[start + i] = labels[i] === this.label ? value : -value;
    }
    this.#step = undefined;
    this.#curvature.forget();
  }

  /** The smoothed objective's derivative by a weight. @param sum of y dual s over the images */
  slope(f: number, sum: number): number {
    return this.l2 * this.weights[f]! - sum / this.margins.length;
  }

  /** Bounds of the relative duality gap: in all, what the smoothing contributes, and what is left of its problem. */
  standing({ gradient }: Slope): { gap: number; smoothing: number; rest: number } {
    const { margins, weights, l2 } = this;
    let [loss, smoothing] = [0, 0];
    for (let i = 0; i < margins.length; i++) {
      const slack = 1 - margins[i]!;
      loss += Math.max(0, slack);
      smoothing += Math.max(0, slack) - this.dualOf(i) * slack;
    }
    const objective = loss / margins.length + (l2 / 2) * dot(weights, weights);
    const [a, b] = [smoothing / margins.length / objective, dot(gradient, gradient) / (2 * l2) / objective];
    return { gap: a + b, smoothing: a, rest: b };
  }

  /** Where to go next. @param moves whether the smoothing moves to the duals of now */
  direction({ now, moved }: Slopes, moves: boolean): Float64Array {
    if (this.#from !== undefined && this.#step !== undefined) this.#curvature.learn(this.#step, this.#from, now);
    if (moves) for (let i = 0; i < this.centres.length; i++) this.centres[i] = this.dualOf(i);
    this.#from = moves ? moved : now;
    return this.#curvature.direction(this.#from);
  }

  /**
   * Goes along a direction to the lowest smoothed objective.
   *
   * @param along its y (s, -1).D, [images]
   * @returns false where rounding hides what is left
   */
  advance(direction: Float64Array, along: Float32Array): boolean {
    const { margins, centres, weights, l2 } = this;
    const [first, second] = [dot(weights, direction), dot(direction, direction)];
    const count = margins.length;
    /** Slope and second derivative along the direction. */
    const at = (t: number): [slope: number, bend: number] => {
      let [total, inside] = [0, 0];
      for (let i = 0; i < count; i++) {
        const change = along[i]!;
        const slope = centres[i]! + (1 - margins[i]! - t * change) / this.width;
        const dual = clip(slope);
        total += dual * change;
        if (dual === slope) inside += change * change;
      }
      return [l2 * (first + t * second) - total / count, l2 * second + inside / (this.width * count)];
    };
    const enough = EXACT * Math.abs(dot(this.#from!.gradient, direction));
    let [low, high, t] = [0, Number.POSITIVE_INFINITY, 1];
    for (let tried = 0; tried < MOST_TRIALS; tried++) {
      const [slope, bend] = at(t);
      if (slope < 0) low = t;
      else high = t;
      if (Math.abs(slope) <= enough) break;
      const next = t - slope / bend;
      t = next > low && next < high ? next : high === Number.POSITIVE_INFINITY ? 2 * t : (low + high) / 2;
    }
    if (low === 0 && t < NEGLIGIBLE) t = 0;
    this.#step = t === 0 ? undefined : direction.map((value) => t * value);
    if (t === 0) {
      const isStuck = this.#curvature.isEmpty;
      this.#curvature.forget();
      return !isStuck;
    }
    for (let i = 0; i < margins.length; i++) margins[i]! += t * along[i]!;
    for (let f = 0; f < weights.length; f++) weights[f]! += t * direction[f]!;
    return true;
  }
}

/** Without branches, which images would take at random. */
const clip = (value: number): number => Math.max(0, Math.min(1, value));
