/** A smooth convex function at a point. */
export interface Point {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
}

/** A step: the differences of points and of gradients, and 1 / (their product). */
interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array;
  readonly rho: number;
}

interface LbfgsOptions {
  /** Approximate inverse of the second derivatives, up to a factor: symmetric, positive definite. */
  readonly metric: (vector: Float64Array) => Float64Array;
  /** The factor for the first step, small enough for the step to descend. */
  readonly firstFactor: number;
  readonly mostEvaluations: number;
  readonly isEnough: (point: Point) => boolean;
}

/** Pairs that are remembered; with a good metric more do not help. */
const MEMORY = 5;
/** Armijo's condition: least share of the decrease that the slope predicts. */
const SUFFICIENT = 1e-4;
/** The search ends if the predicted decrease is less than this share of the value. */
const NEGLIGIBLE = 1e-7;

/**
 * Minimises by the limited-memory BFGS method (Nocedal and Wright 2006, algorithms 7.4 and 7.5) with a metric instead
 * of the identity; steps of length 1 are shortened until they descend.
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
  let best = start;
  let pairs: readonly Pair[] = [];
  let factor = firstFactor;
  for (let evaluations = 0; evaluations < mostEvaluations && !isEnough(best); ) {
    const direction = directionOf(best.gradient, pairs, metric, factor);
    const slope = dot(best.gradient, direction);
    if (!(-slope > NEGLIGIBLE * Math.abs(best.value))) break;
    let next: Point | undefined;
    for (let length = 1; next === undefined && evaluations < mostEvaluations; evaluations++) {
      const tried = await evaluate(best.x.map((x, i) => x + length * direction[i]!));
      if (tried.value <= best.value + SUFFICIENT * length * slope) next = tried;
      else length *= shorter(tried.value - best.value, length * slope);
    }
    if (next === undefined) break;
    const pair = pairOf(best, next);
    if (pair !== undefined) {
      pairs = [...pairs, pair].slice(-MEMORY);
      factor = 1 / (pair.rho * dot(pair.change, metric(pair.change)));
    }
    best = next;
  }
  return best;
}

/** Minimum of the parabola through value, slope and the new value, as a share of the step. */
function shorter(rise: number, slope: number): number {
  return Math.min(0.5, Math.max(0.1, -slope / (2 * (rise - slope))));
}

/** Undefined if rounding hides the convexity. */
function pairOf(from: Point, to: Point): Pair | undefined {
  const step = to.x.map((x, i) => x - from.x[i]!);
  const change = to.gradient.map((gradient, i) => gradient - from.gradient[i]!);
  const product = dot(step, change);
  return product > 0 ? { step, change, rho: 1 / product } : undefined;
}

/**
 * The two-loop recursion: minus the inverse of the second derivatives (the metric, corrected by the pairs) times the
 * gradient.
 */
function directionOf(
  gradient: Float64Array,
  pairs: readonly Pair[],
  metric: LbfgsOptions['metric'],
  factor: number,
): Float64Array {
  const q = gradient.map((value) => -value);
  const shares = new Map<Pair, number>();
  for (const pair of pairs.toReversed()) {
    const share = pair.rho * dot(pair.step, q);
    shares.set(pair, share);
    addTo(q, -share, pair.change);
  }
  const direction = metric(q).map((value) => factor * value);
  for (const pair of pairs) {
    addTo(direction, shares.get(pair)! - pair.rho * dot(pair.change, direction), pair.step);
  }
  return direction;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addTo(sum: Float64Array, factor: number, vector: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += factor * vector[i]!;
}
