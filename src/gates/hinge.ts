import { InputError } from '../errors.js';
import { BinaryHinge, type Slopes, type Totals } from './binary.js';
import type { DualPoint } from './certificate.js';
import type { MatrixProduct } from './contracts.js';
import { distances, type Gate } from './gate.js';
import type { Slope } from './lbfgs.js';
import { multiply } from './precondition.js';
import type { Parameters, Refinement } from './softmax.js';

/** Images of a batch. */
const BATCH_IMAGES = 2048;
/** Width of the smoothing; margins are 1. With fewer images than features most stand at their margin, and a wide one is faster. */
const [WIDTH, WIDE] = [0.3, 16];
/** Up to so many classes duals start at 1/2, where the smoothing errs least; of a rarer class nearly all are near 0. */
const HALVED_CLASSES = 10;
/** The smoothed hinge's second derivative on average: about the share of the images within the width, over the width. */
export const HINGE_CURVATURE = 0.2;
/** The smoothing moves once the rest of the gap is at most this share of what the smoothing leaves. */
const SHARE = 1;

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
    const centre = count < features || classes > HALVED_CLASSES ? 0 : 0.5;
    const room = [new Float64Array(count), new Float64Array(count)] as const;
    this.#hinges = Array.from(
      { length: classes },
      (_, c) => new BinaryHinge(c, features, count, problem.l2, 1 / width, centre, room),
    );
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
      const standings = open.map((hinge, k) => hinge.standing(slopes[k]!));
      const worst = Math.max(...standings.map((standing) => standing.gap));
      const share = Math.log(worst) / Math.log(gap); // from a gap of 1 on it falls by about the same share in each pass
      onPass(this.#passes, `gap ${worst.toExponential(1)}`, share > 0 ? Math.ceil(this.#passes / share) : passes);
      const directions = new Map<BinaryHinge, Float64Array>();
      for (const [k, hinge] of open.entries()) {
        const { gap: reached, smoothing, rest } = standings[k]!;
        const { now, moved } = slopes[k]!;
        if (!(reached <= gap))
          directions.set(hinge, hinge.direction(now, rest <= SHARE * smoothing ? moved : undefined));
      }
      if (directions.size === 0 || this.#passes >= Math.max(2, passes)) return; // one step at least
      await this.#along(directions, product);
      open = [...directions].flatMap(([hinge, direction]) => (hinge.advance(direction) ? [hinge] : []));
    }
  }

  /** X^T (y duals) of each class, and what follows for its slopes and its gap. */
  async #slopes(hinges: readonly BinaryHinge[], product: MatrixProduct): Promise<Slopes[]> {
    const { data, scaling, metric } = this.problem;
    const { features } = data;
    const rows = new Map<BinaryHinge, Totals & { readonly row: number }>();
    let columns = 0;
    for (const hinge of hinges) {
      rows.set(hinge, { row: columns, duals: [0, 0], loss: 0, smoothing: 0 });
      columns += hinge.mayMove ? 2 : 1;
    }
    const sums = new Float64Array(columns * features); // of y duals x, [columns, features]
    const room = new Float32Array(columns * BATCH_IMAGES);
    let start = 0;
    for await (const { x, labels } of data.batches(BATCH_IMAGES)) {
      const count = labels.length;
      const duals = room.subarray(0, columns * count); // [columns, count]
      for (const [hinge, of] of rows) hinge.writeDuals(labels, start, duals.subarray(of.row * count), of);
      const part = await product.run(duals, [columns, count], x, [count, features]);
      for (let at = 0; at < sums.length; at++) sums[at]! += part[at]!;
      start += count;
    }
    this.#passes++;
    // Features were not scaled: s = (x - mean) * inverse.
    const gradients = new Float64Array((features + 1) * columns);
    for (const [hinge, { row, duals }] of rows) {
      for (const [k, total] of duals.slice(0, hinge.mayMove ? 2 : 1).entries()) {
        const column = row + k;
        for (let f = 0; f < features; f++) {
          const scaled = (sums[column * features + f]! - total * scaling.mean[f]!) * scaling.inverse[f]!;
          gradients[f * columns + column] = hinge.slope(f, scaled);
        }
        gradients[features * columns + column] = hinge.slope(features, -total);
      }
    }
    const conditioned = await multiply(metric, gradients, columns, product);
    const column = (of: Float64Array, k: number) =>
      Float64Array.from({ length: features + 1 }, (_, f) => of[f * columns + k]!);
    const slope = (k: number): Slope => ({ gradient: column(gradients, k), conditioned: column(conditioned, k) });
    return Array.from(rows, ([{ mayMove }, { row, ...totals }]) => {
      return { now: slope(row), ...(mayMove && { moved: slope(row + 1) }), totals };
    });
  }

  /** Sets `along` of each class. @param directions D of the classes, [features + 1] */
  async #along(directions: ReadonlyMap<BinaryHinge, Float64Array>, product: MatrixProduct): Promise<void> {
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
    let start = 0;
    for await (const { x, labels } of data.batches(BATCH_IMAGES)) {
      const d = await product.run(x, [labels.length, features], matrix, [features, columns]);
      for (const [k, { label, along }] of [...directions.keys()].entries()) {
        const offset = offsets[k]!;
        let total = 0;
        for (let i = 0, at = k; i < labels.length; i++, at += columns) {
          const value = (2 * Number(labels[i] === label) - 1) * (d[at]! - offset);
          total += value;
          along[start + i] = value;
        }
        if (!Number.isFinite(total)) throw new InputError(`${gate}: the distances are not finite`);
      }
      start += labels.length;
    }
    this.#passes++;
  }
}
