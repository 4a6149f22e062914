import { positive } from './certificate.js';
import { Curvature, dot, type Slope } from './lbfgs.js';

/** A step is as long as it should be where the slope along it is at most this share of the first; or after so many trials. */
const [EXACT, MOST_TRIALS] = [1e-3, 20];
/** The smoothing may move in the next step where the rest of the gap is at most so many times what the smoothing leaves. */
const NEAR = 10;
/** A shorter share of a step is rounding. */
const NEGLIGIBLE = 1e-5;

/** The smoothed objective's slope of a class: as the duals are, and as they are once the smoothing moves. */
export interface Slopes {
  readonly now: Slope;
  /** Where `mayMove`. */
  readonly moved?: Slope;
  readonly totals: Totals;
}

/** Sums over the images of a class. */
export interface Totals {
  /** Of y duals: now, and moved. */
  duals: [now: number, moved: number];
  /** Of the hinge, and of what the smoothing leaves of it. */
  loss: number;
  smoothing: number;
}

/** One class against the others: mean hinge + lambda/2 |w|^2, w = (V, a) with a the weight of a feature -1. */
export class BinaryHinge {
  /** [features + 1] */
  readonly weights: Float64Array;
  /** y d, [images] */
  readonly margins: Float64Array;
  /** Duals about which the hinge is smoothed, [images] */
  readonly centres: Float32Array;
  /** y (s, -1).D of a direction D, [images] */
  readonly along: Float32Array;
  /** Whether the smoothing may soon move: its slopes about other duals take time. */
  mayMove = false;
  readonly #curvature = new Curvature(1);
  /** The slope where the last step began, with the smoothing of now, and the step. */
  #from: Slope | undefined;
  #step: Float64Array | undefined;

  constructor(
    readonly label: number,
    features: number,
    count: number,
    readonly l2: number,
    /** 1 / the width of the smoothing. */
    readonly steepness: number,
    /** The duals to begin with. */
    centre: number,
    /** Of all classes, for the images of a step. */
    readonly room: readonly [Float64Array, Float64Array],
  ) {
    this.weights = new Float64Array(features + 1);
    this.margins = new Float64Array(count);
    this.centres = new Float32Array(count).fill(centre);
    this.along = new Float32Array(count);
  }

  dualOf(image: number): number {
    return clip(this.centres[image]! + this.steepness * (1 - this.margins[image]!));
  }

  /** y times the duals of a batch, a row as they are now and, where `mayMove`, one once the smoothing is about them; adds to the totals. */
  writeDuals(labels: Int32Array, start: number, into: Float32Array, totals: Totals): void {
    const { margins, centres, label, steepness, mayMove } = this;
    const count = labels.length;
    let [now, moved] = totals.duals;
    let { loss, smoothing } = totals;
    for (let i = 0; i < count; i++) {
      const y = 2 * Number(labels[i] === label) - 1;
      const slack = 1 - margins[start + i]!;
      const dual = clip(centres[start + i]! + steepness * slack);
      now += into[i] = y * dual;
      if (mayMove) moved += into[count + i] = y * clip(dual + steepness * slack);
      const hinge = positive(slack);
      loss += hinge;
      smoothing += hinge - dual * slack;
    }
    Object.assign(totals, { duals: [now, moved], loss, smoothing });
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
  standing({ now: { gradient }, totals: { loss, smoothing } }: Slopes): Record<'gap' | 'smoothing' | 'rest', number> {
    const { margins, weights, l2 } = this;
    const objective = loss / margins.length + (l2 / 2) * dot(weights, weights);
    const [a, b] = [smoothing / margins.length / objective, dot(gradient, gradient) / (2 * l2) / objective];
    this.mayMove = b <= NEAR * a;
    return { gap: a + b, smoothing: a, rest: b };
  }

  /** Where to go next. @param moved the slope where the smoothing moves to the duals of now */
  direction(now: Slope, moved?: Slope): Float64Array {
    if (this.#from !== undefined && this.#step !== undefined) this.#curvature.learn(this.#step, this.#from, now);
    if (moved) for (let i = 0; i < this.centres.length; i++) this.centres[i] = this.dualOf(i);
    this.#from = moved ?? now;
    return this.#curvature.direction(this.#from);
  }

  /**
   * Goes along a direction, whose `along` is known, to the lowest smoothed objective.
   *
   * @returns false where rounding hides what is left
   */
  advance(direction: Float64Array): boolean {
    const { margins, centres, along, weights, l2, steepness } = this;
    const [count, [duals, changes]] = [margins.length, this.room];
    const [first, second] = [dot(weights, direction), dot(direction, direction)];
    let [reach, fixed, open] = [0, 0, 0];
    /** Sets aside the images whose duals stay 0 or 1 as far as that. */
    const sift = (): void => {
      [fixed, open] = [0, 0];
      for (let i = 0; i < count; i++) {
        const change = along[i]!;
        const from = centres[i]! + steepness * (1 - margins[i]!);
        const to = from - reach * steepness * change;
        if (from >= 1 && to >= 1) fixed += change;
        else if (from > 0 || to > 0) {
          duals[open] = from;
          changes[open++] = change;
        }
      }
    };
    /** Slope and second derivative along the direction. */
    const at = (t: number): [slope: number, bend: number] => {
      if (t > reach) {
        reach = 2 * t;
        sift();
      }
      let [total, inside] = [fixed, 0];
      for (let i = 0; i < open; i++) {
        const change = changes[i]!;
        const dual = clip(duals[i]! - t * steepness * change);
        total += dual * change;
        inside += Math.ceil(dual * (1 - dual)) * change * change; // 1 between 0 and 1
      }
      return [l2 * (first + t * second) - total / count, l2 * second + (inside * steepness) / count];
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

/** Within 0 and 1. */
const clip = (value: number): number => positive(1 - positive(1 - value));
