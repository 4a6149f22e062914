import type { Scaling, TrainingData } from './contracts.js';
import { distances, type Gate } from './gate.js';
import type { Loss } from './loss.js';

/** What a gate reached, and how far at most that is above the lowest, (primal - dual) / primal, where that is known. */
export interface Certificate {
  /** Mean loss + lambda/2 (|V|^2 + |a|^2) over the training images, in standardised features. */
  readonly objective: number;
  /** Bound of the relative duality gap: of all classes together. */
  readonly gap?: number;
  /** The largest one of a class; of a loss that ties the classes together, that of all. Training stops by it. */
  readonly worstGap?: number;
}

/** max(0, value), in a third of the time: Math.max branches, and which way images take is random. */
export const positive = (value: number): number => (value + Math.abs(value)) / 2;

/** The dual point of the hinge: a of an image and class, from 0 to 1. */
export type DualPoint = (image: number, c: number) => number;

/**
 * The duality gap of a gate as it is delivered, in double precision, in one pass.
 *
 * The slopes of the losses are the point of the dual problem: of cross-entropy softmax(d) - target; of the hinge -y a with
 * any a from 0 to 1 (`hinge.ts`). With S the sum of slope times s, the gap is
 * mean(loss - (its bound from below by the slope)) + |lambda V + S / n|^2 / (2 lambda), whose first part is 0 for
 * cross-entropy.
 *
 * @param dualOf a of the hinge
 */
export async function certifyGate(
  data: TrainingData,
  gate: Gate,
  scaling: Scaling,
  { loss, l2 }: { readonly loss: Loss; readonly l2: number },
  dualOf: DualPoint,
): Promise<Required<Certificate>> {
  const { features, classes, count } = data;
  const losses = new Float64Array(classes);
  const smoothing = new Float64Array(classes);
  const sums = Array.from({ length: classes }, () => new Float64Array(features));
  const totals = new Float64Array(classes);
  let start = 0;
  for await (const { x, labels, probabilities } of data.batches(1024)) {
    const found = distances(gate, x);
    const slopes = new Float64Array(found.length);
    for (const [i, label] of labels.entries()) {
      const [from, to] = [i * classes, (i + 1) * classes];
      const [row, own] = [found.subarray(from, to), slopes.subarray(from, to)];
      if (loss === 'hinge') hingeAt(row, label, (c) => dualOf(start + i, c), { losses, smoothing, slopes: own });
      else losses[0]! += crossEntropyAt(row, probabilities?.subarray(from, to) ?? label, own);
    }
    for (const [c, sum] of sums.entries()) totals[c]! += addImages(sum, x, slopes, c);
    start += labels.length;
  }
  const byClass = sums.map((sum, c) => {
    const { penalty, rest } = ridgeOf(gate, c, { sum, total: totals[c]!, count, scaling, l2 });
    return { objective: losses[c]! / count + penalty, gap: Math.max(0, smoothing[c]! / count + rest) };
  });
  const objective = byClass.reduce((sum, of) => sum + of.objective, 0);
  const gap = byClass.reduce((sum, of) => sum + of.gap, 0) / objective;
  const worstGap = loss === 'hinge' ? Math.max(...byClass.map((of) => of.gap / of.objective)) : gap;
  return { objective, gap, worstGap };
}

/** Adds an image's hinges, and what their smoothed slopes leave of them. */
function hingeAt(
  row: Float32Array,
  label: number,
  dualOf: (c: number) => number,
  { losses, smoothing, slopes }: Readonly<Record<'losses' | 'smoothing' | 'slopes', Float64Array>>,
): void {
  for (let c = 0; c < row.length; c++) {
    const y = c === label ? 1 : -1;
    const slack = 1 - y * row[c]!;
    const dual = dualOf(c);
    losses[c]! += positive(slack);
    smoothing[c]! += positive(slack) - dual * slack;
    slopes[c] = -y * dual;
  }
}

/** - sum of target x log softmax(d); the slopes are written. @param target a class, or a probability of each */
function crossEntropyAt(row: Float32Array, target: number | Float32Array, slopes: Float64Array): number {
  const share = (c: number): number => (typeof target === 'number' ? Number(c === target) : target[c]!);
  const largest = row.reduce((a, b) => Math.max(a, b));
  let sum = 0;
  for (let c = 0; c < row.length; c++) sum += slopes[c] = Math.exp(row[c]! - largest);
  let meant = 0;
  for (let c = 0; c < row.length; c++) {
    slopes[c] = slopes[c]! / sum - share(c);
    meant += share(c) * row[c]!;
  }
  return Math.log(sum) + largest - meant;
}

/**
 * Adds a class's slope times x of each image that has one, four images at a time for speed.
 *
 * @param x [count, features]
 * @param slopes [count, classes]
 * @returns the sum of the slopes
 */
function addImages(sum: Float64Array, x: Float32Array, slopes: Float64Array, c: number): number {
  const features = sum.length;
  const classes = (slopes.length * features) / x.length;
  const [factors, starts]: [number[], number[]] = [[], []];
  for (let at = c, start = 0; at < slopes.length; at += classes, start += features) {
    if (slopes[at] === 0) continue;
    factors.push(slopes[at]!);
    starts.push(start);
  }
  const of = (k: number): [factor: number, start: number] => [factors[k] ?? 0, starts[k] ?? 0];
  for (let k = 0; k < factors.length; k += 4) {
    const [[p, a], [q, b], [r, d], [s, e]] = [of(k), of(k + 1), of(k + 2), of(k + 3)];
    for (let f = 0; f < features; f++) {
      sum[f] = sum[f]! + p * x[a + f]! + q * x[b + f]! + r * x[d + f]! + s * x[e + f]!;
    }
  }
  return factors.reduce((total, factor) => total + factor, 0);
}

/** lambda/2 |w|^2 and |lambda w + S / n|^2 / (2 lambda) of a class, w = (V, a) in standardised features. */
function ridgeOf(
  { weights, bias, classes }: Gate,
  c: number,
  of: { sum: Float64Array; total: number; count: number; scaling: Scaling; l2: number },
): { penalty: number; rest: number } {
  const { sum, total, count, l2, scaling } = of;
  const { mean, inverse } = scaling;
  let [a, squares, rest] = [bias[c]!, 0, 0];
  for (let f = 0; f < sum.length; f++) {
    const factor = inverse[f]!;
    if (factor === 0) continue; // a constant feature, whose weight is 0
    const v = weights[f * classes + c]! / factor;
    a -= weights[f * classes + c]! * mean[f]!;
    squares += v * v;
    rest += (l2 * v + ((sum[f]! - total * mean[f]!) * factor) / count) ** 2;
  }
  rest += (l2 * a - total / count) ** 2;
  return { penalty: (l2 / 2) * (squares + a * a), rest: rest / (2 * l2) };
}
