/** Conjugate gradients end at this share of the first residual, or after so many steps. */
const [RESIDUAL, MOST_STEPS] = [0.1, 300];

/** Where a class stands. */
interface Standing {
  /** Bound of the relative duality gap: (smoothing + rest) / objective. */
  readonly gap: number;
  /** What the smoothing contributes to the gap, relative. */
  readonly smoothing: number;
  /** What is left of the smoothed problem, relative. */
  readonly rest: number;
}

/**
 * One class against the others: mean hinge + lambda/2 |w|^2, w = (V, a) with a the weight of a feature -1, smoothed over a
 * width g of the margin as in `newton.ts`. All of it in double precision.
 */
export class BinaryHinge {
  /** y d, [images] */
  readonly margins: Float64Array;
  /** The slope of the smoothed loss: clip((1 - y d) / g, 0, 1), [images] */
  readonly duals: Float64Array;
  /** Sum over the images of duals y s, [features + 1] */
  readonly sums: Float64Array;
  /** Rows (s, -1) of the images whose dual is neither 0 nor 1, [band, features + 1] */
  bandRows = new Float32Array(0);
  /** Width g of the smoothing. */
  width: number;

  constructor(
    readonly label: number,
    readonly weights: Float64Array,
    count: number,
    readonly l2: number,
    width: number,
  ) {
    this.margins = new Float64Array(count);
    this.duals = new Float64Array(count);
    this.sums = new Float64Array(weights.length);
    this.width = width;
  }

  /** Whether the image's dual is neither 0 nor 1. */
  isInBand(image: number): boolean {
    const slack = 1 - this.margins[image]!;
    return slack > 0 && slack < this.width;
  }

  bandCount(): number {
    let count = 0;
    for (let i = 0; i < this.margins.length; i++) count += Number(this.isInBand(i));
    return count;
  }

  dualOf(image: number): number {
    return Math.min(1, Math.max(0, (1 - this.margins[image]!) / this.width));
  }

  standing(): Standing {
    const { margins, duals, weights, sums, l2 } = this;
    const count = margins.length;
    let [loss, smoothing, norm, rest] = [0, 0, 0, 0];
    for (let i = 0; i < count; i++) {
      const slack = 1 - margins[i]!;
      loss += Math.max(0, slack);
      smoothing += Math.max(0, slack) - duals[i]! * slack;
    }
    for (let f = 0; f < weights.length; f++) {
      norm += weights[f]! ** 2;
      rest += (l2 * weights[f]! - sums[f]! / count) ** 2;
    }
    const objective = loss / count + (l2 / 2) * norm;
    const [a, b] = [smoothing / count / objective, rest / (2 * l2) / objective];
    return { gap: a + b, smoothing: a, rest: b };
  }

  /**
   * The Newton direction by conjugate gradients: (lambda I + R^T R / (n g)) D = -gradient.
   *
   * R are the rows (s, -1) of the band.
   */
  direction(): Float64Array {
    const { weights, sums, l2, width, margins } = this;
    const count = margins.length;
    const residual = weights.map((w, f) => sums[f]! / count - l2 * w);
    const result = new Float64Array(weights.length);
    const step = residual.slice();
    let square = dot(residual, residual);
    const enough = RESIDUAL ** 2 * square;
    for (let k = 0; k < MOST_STEPS && square > enough; k++) {
      const curved = curvature(this.bandRows, step);
      const bent = step.map((value, f) => l2 * value + curved[f]! / (count * width));
      const length = square / dot(step, bent);
      for (let f = 0; f < step.length; f++) {
        result[f]! += length * step[f]!;
        residual[f]! -= length * bent[f]!;
      }
      const next = dot(residual, residual);
      for (let f = 0; f < step.length; f++) step[f] = residual[f]! + (next / square) * step[f]!;
      square = next;
    }
    return result;
  }

  /** Goes along a direction to the lowest smoothed objective. @param along its y s.D, [images] @returns the length */
  advance(direction: Float64Array, along: Float64Array): number {
    const { margins, weights, l2, width } = this;
    const count = margins.length;
    const [first, second] = [dot(weights, direction), dot(direction, direction)];
    const slope = (t: number): number => {
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const slack = 1 - margins[i]! - t * along[i]!;
        if (slack > 0) sum += (slack < width ? slack / width : 1) * along[i]!;
      }
      return l2 * (first + t * second) - sum / count;
    };
    let [low, high] = [0, 1];
    while (slope(high) < 0 && high < 1024) [low, high] = [high, 2 * high];
    for (let halving = 0; halving < 20; halving++) {
      const middle = (low + high) / 2;
      if (slope(middle) < 0) low = middle;
      else high = middle;
    }
    for (let i = 0; i < count; i++) margins[i]! += low * along[i]!;
    for (let f = 0; f < weights.length; f++) weights[f]! += low * direction[f]!;
    return low;
  }
}

/** R^T (R v) of rows R [rows, size], four at a time; `rows` has room for three more, of zeros. */
function curvature(rows: Float32Array, v: Float64Array): Float64Array {
  const size = v.length;
  const result = new Float64Array(size);
  for (let a = 0; a + 4 * size <= rows.length; a += 4 * size) {
    const [b, c, d] = [a + size, a + 2 * size, a + 3 * size];
    let [p, q, r, s] = [0, 0, 0, 0];
    for (let f = 0; f < size; f++) {
      const value = v[f]!;
      p += rows[a + f]! * value;
      q += rows[b + f]! * value;
      r += rows[c + f]! * value;
      s += rows[d + f]! * value;
    }
    for (let f = 0; f < size; f++) {
      result[f]! += p * rows[a + f]! + q * rows[b + f]! + r * rows[c + f]! + s * rows[d + f]!;
    }
  }
  return result;
}

/** s.v - the bias, v = (V, a); four sums, for the speed. */
export function along(row: Float32Array, v: Float64Array): number {
  let [p, q, r, s] = [-v[row.length]!, 0, 0, 0];
  const quads = row.length & ~3;
  for (let f = 0; f < quads; f += 4) {
    p += row[f]! * v[f]!;
    q += row[f + 1]! * v[f + 1]!;
    r += row[f + 2]! * v[f + 2]!;
    s += row[f + 3]! * v[f + 3]!;
  }
  for (let f = quads; f < row.length; f++) p += row[f]! * v[f]!;
  return p + q + r + s;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
