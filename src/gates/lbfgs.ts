/** A smooth convex function at a point. */
export interface Point {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
}

/** A gradient, and the metric times it. */
export interface Slope {
  readonly gradient: Float64Array;
  readonly conditioned: Float64Array;
}

/** A step: the differences of points, of gradients and of conditioned gradients, and 1 / (the product of the first two). */
interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array;
  readonly conditioned: Float64Array;
  readonly rho: number;
}

interface LbfgsOptions {
  /** Approximate inverse of the second derivatives, up to a factor: symmetric, positive definite. */
  readonly metric: (vector: Float64Array) => Promise<Float64Array>;
  /** The factor for the first step, small enough for the step to descend. */
  readonly firstFactor: number;
  readonly mostEvaluations: number;
  readonly isEnough: (point: Point) => boolean;
}

/** Steps that are remembered. */
const MEMORY = 15;
/** Armijo's condition: least share of the decrease that the slope predicts. */
const SUFFICIENT = 1e-4;
/** The search ends if the predicted decrease is less than this share of the value. */
const NEGLIGIBLE = 1e-7;

/**
 * Second derivatives as the last steps have met them: the limited-memory BFGS method (Nocedal and Wright 2006, algorithm
 * 7.4) with a metric instead of the identity. The metric multiplies each gradient once; the rest is sums.
 */
export class Curvature {
  #pairs: readonly Pair[] = [];

  /** @param factor of the metric, until a step is known */
  constructor(private factor: number) {}

  get isEmpty(): boolean {
    return this.#pairs.length === 0;
  }

  forget(): void {
    this.#pairs = [];
  }

  /** Takes in a step; not where rounding hides the convexity. */
  learn(step: Float64Array, from: Slope, to: Slope): void {
    const change = to.gradient.map((slope, i) => slope - from.gradient[i]!);
    const conditioned = to.conditioned.map((slope, i) => slope - from.conditioned[i]!);
    const product = dot(step, change);
    const square = dot(change, conditioned);
    if (!(product > 0 && square > 0)) return;
    this.#pairs = [...this.#pairs, { step, change, conditioned, rho: 1 / product }].slice(-MEMORY);
    this.factor = product / square;
  }

  /** Minus the inverse of the second derivatives times the gradient. */
  direction({ gradient, conditioned }: Slope): Float64Array {
    const rest = gradient.map((value) => -value);
    const direction = conditioned.map((value) => -value);
    const shares = new Map<Pair, number>();
    for (const pair of this.#pairs.toReversed()) {
      const share = pair.rho * dot(pair.step, rest);
      shares.set(pair, share);
      addTo(rest, -share, pair.change);
      addTo(direction, -share, pair.conditioned);
    }
    for (let i = 0; i < direction.length; i++) direction[i]! *= this.factor;
    for (const pair of this.#pairs) {
      addTo(direction, shares.get(pair)! - pair.rho * dot(pair.change, direction), pair.step);
    }
    return direction;
  }
}

/**
 * Minimises by the limited-memory BFGS method (Nocedal and Wright 2006, algorithm 7.5); steps of length 1 are shortened
 * until they descend.
 *
 * @param start the function at the starting point
 * @param evaluate the function at another point
 * @returns the best point found
 */
export async function lbfgs(
  start: Point,
  evaluate: (x: Float64Array) => Promise<Point>,
  { metric, firstFactor, mostEvaluations, isEnough }: LbfgsOptions,
): Promise<Point> {
  const slopeAt = async ({ gradient }: Point): Promise<Slope> => ({ gradient, conditioned: await metric(gradient) });
  const curvature = new Curvature(firstFactor);
  let best = start;
  let at = await slopeAt(start);
  for (let evaluations = 0; evaluations < mostEvaluations && !isEnough(best); ) {
    const direction = curvature.direction(at);
    const slope = dot(best.gradient, direction);
    if (!(-slope > NEGLIGIBLE * Math.abs(best.value))) break;
    let next: Point | undefined;
    for (let length = 1; next === undefined && evaluations < mostEvaluations; evaluations++) {
      const tried = await evaluate(best.x.map((x, i) => x + length * direction[i]!));
      if (tried.value <= best.value + SUFFICIENT * length * slope) next = tried;
      else length *= shorter(tried.value - best.value, length * slope);
    }
    if (next === undefined) break;
    const { x } = best;
    const reached = await slopeAt(next);
    curvature.learn(
      next.x.map((value, i) => value - x[i]!),
      at,
      reached,
    );
    [best, at] = [next, reached];
  }
  return best;
}

/** Minimum of the parabola through value, slope and the new value, as a share of the step. */
function shorter(rise: number, slope: number): number {
  return Math.min(0.5, Math.max(0.1, -slope / (2 * (rise - slope))));
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addTo(sum: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += factor * vector[i]!;
}
