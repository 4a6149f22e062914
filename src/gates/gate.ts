/** A trained d-gate: distances d = xW - b on unscaled pooled features (the scaling is folded in). */
export interface Gate {
  readonly features: number;
  readonly classes: number;
  /** W, [features, classes] row-major; empty for an exit whose features are the distances */
  readonly weights: Float32Array;
  /** b, [classes] */
  readonly bias: Float32Array;
  /** Weights of the distances of the gate before it, [classes, classes] row-major, where it takes them. */
  readonly previous?: Float32Array;
}

/** The gate of an exit that computes the distances itself. */
export const gateOfFeatures = (classes: number): Gate => {
  return { features: classes, classes, weights: new Float32Array(), bias: new Float32Array() };
};

/** A gate that was trained on its own features and, behind them, the distances of the gate before it. */
export function splitPrevious({ classes, weights, ...gate }: Gate, features: number): Gate {
  const own = features * classes;
  return { ...gate, features, classes, weights: weights.slice(0, own), previous: weights.slice(own) };
}

/**
 * A gate's distances with its part of those of the gate before it: zero-time waste (Wołczyk et al. 2021, arXiv 2106.05409), linear.
 *
 * @param own xW - b, [count, classes]
 * @param before of the same images, at least [count, classes]
 */
export function withPrevious({ classes, previous }: Gate, own: Float32Array, before?: Float32Array): Float32Array {
  if (previous === undefined) return own;
  if (before === undefined) throw new Error('a gate without the distances of the gate before it');
  return own.map((distance, at) => {
    const c = at % classes;
    let sum = distance;
    for (let p = 0; p < classes; p++) sum += before[at - c + p]! * previous[p * classes + c]!;
    return sum;
  });
}

/** Images of a block in double precision: 256 KB with 1024 features, which fits a core's cache. */
const BLOCK_IMAGES = 32;

/** W^T in double precision, computed once per gate: a gate is applied to many batches. */
const transposed = new WeakMap<Gate, Float64Array>();

/**
 * Distances of a batch to the decision boundaries (paper, section 2.2).
 *
 * Each is one sum in double precision over the features in their order, so that a gate's distances are the same, bit
 * for bit, at any position in a batch; four images and two classes at a time keep the sums in registers.
 *
 * @param x pooled features [count, features] row-major
 * @param before distances of the gate before, if it takes them: at least [count, classes]
 * @returns [count, classes] row-major
 */
export function distances(gate: Gate, x: Float32Array, before?: Float32Array): Float32Array {
  const { features, classes } = gate;
  if (gate.weights.length === 0) return x;
  const count = x.length / features;
  const result = new Float32Array(count * classes);
  const weights = transpose(gate);
  const block = new Float64Array(BLOCK_IMAGES * features);
  for (let start = 0; start < count; start += BLOCK_IMAGES) {
    const images = Math.min(BLOCK_IMAGES, count - start);
    block.set(x.subarray(start * features, (start + images) * features));
    const quads = images & ~3;
    const pairs = classes & ~1;
    for (let c = 0; c < pairs; c += 2) {
      for (let image = 0; image < quads; image += 4) fourByTwo(gate, weights, block, image, c, result, start);
      for (let image = quads; image < images; image++) {
        one(gate, weights, block, image, c, result, start);
        one(gate, weights, block, image, c + 1, result, start);
      }
    }
    if (pairs < classes)
      for (let image = 0; image < images; image++) one(gate, weights, block, image, pairs, result, start);
  }
  return withPrevious(gate, result, before);
}

/** Distances of images `image` to `image + 3` of the block to classes c and c + 1. */
function fourByTwo(
  { features, classes, bias }: Gate,
  weights: Float64Array,
  block: Float64Array,
  image: number,
  c: number,
  result: Float32Array,
  start: number,
): void {
  const a = image * features;
  const b = a + features;
  const d = b + features;
  const e = d + features;
  const u = c * features;
  const v = u + features;
  let [au, av, bu, bv, du, dv, eu, ev] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let f = 0; f < features; f++) {
    const p = weights[u + f]!;
    const q = weights[v + f]!;
    const xa = block[a + f]!;
    const xb = block[b + f]!;
    const xd = block[d + f]!;
    const xe = block[e + f]!;
    au += xa * p;
    av += xa * q;
    bu += xb * p;
    bv += xb * q;
    du += xd * p;
    dv += xd * q;
    eu += xe * p;
    ev += xe * q;
  }
  const [first, second] = [bias[c]!, bias[c + 1]!];
  const at = (start + image) * classes + c;
  result[at] = au - first;
  result[at + 1] = av - second;
  result[at + classes] = bu - first;
  result[at + classes + 1] = bv - second;
  result[at + 2 * classes] = du - first;
  result[at + 2 * classes + 1] = dv - second;
  result[at + 3 * classes] = eu - first;
  result[at + 3 * classes + 1] = ev - second;
}

function one(
  { features, classes, bias }: Gate,
  weights: Float64Array,
  block: Float64Array,
  image: number,
  c: number,
  result: Float32Array,
  start: number,
): void {
  const [a, u] = [image * features, c * features];
  let sum = 0;
  for (let f = 0; f < features; f++) sum += block[a + f]! * weights[u + f]!;
  result[(start + image) * classes + c] = sum - bias[c]!;
}

function transpose(gate: Gate): Float64Array {
  const found = transposed.get(gate);
  if (found !== undefined) return found;
  const { features, classes, weights } = gate;
  const result = new Float64Array(features * classes);
  for (let f = 0; f < features; f++) {
    for (let c = 0; c < classes; c++) result[c * features + f] = weights[f * classes + c]!;
  }
  transposed.set(gate, result);
  return result;
}
