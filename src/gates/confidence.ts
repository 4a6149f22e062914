import { difference } from './confidences/difference.js';
import { entropy } from './confidences/entropy.js';
import { max } from './confidences/max.js';
import { softmax } from './confidences/softmax.js';
import type { Confidence } from './definitions.js';

/** All confidences: each is a file in `confidences/` and an entry here. */
export const confidences = [max, softmax, entropy, difference] as const satisfies readonly Confidence[];
export type ConfidenceKind = (typeof confidences)[number]['name'];
export const confidenceKinds = confidences.map(({ name }) => name);

/** The confidence of this name. @throws Error for an unknown name; the schema checks names from outside */
export function confidenceOf(kind: ConfidenceKind): Confidence {
  const found = confidences.find(({ name }) => name === kind);
  if (found === undefined) throw new Error(`confidence ${kind}: unknown; valid: ${confidenceKinds.join(', ')}`);
  return found;
}

/** A gate's answers for a batch of images. */
export interface Decisions {
  /** argmax of the distances (the first of equal ones), [count] */
  readonly classes: Int32Array;
  /** [count] */
  readonly confidences: Float32Array;
}

/**
 * Class and confidence of each image.
 *
 * @param distances [count, classes] row-major
 * @param stride from one image's numbers to the next one's, if they hold more than the distances
 * @param temperature that the distances are divided by, in float32 as in a graph
 */
export function decide(
  distances: Float32Array,
  classes: number,
  kind: ConfidenceKind,
  stride: number = classes,
  temperature = 1,
): Decisions {
  const confidence = confidenceOf(kind);
  const count = distances.length / stride;
  const winners = new Int32Array(count);
  const values = new Float32Array(count);
  for (let image = 0; image < count; image++) {
    const row = distances.subarray(image * stride, image * stride + classes);
    let winner = 0;
    for (let c = 1; c < classes; c++) if (row[c]! > row[winner]!) winner = c;
    winners[image] = winner;
    values[image] = confidence.of(temperature === 1 ? row : row.map((value) => value / temperature), winner);
  }
  return { classes: winners, confidences: values };
}

/** Numbers of an exit for some images, [count, classes] row-major, and what is right. */
export interface Judged {
  readonly numbers: Float32Array;
  readonly classes: number;
  readonly labels: Int32Array;
}

/** Temperatures lie between its inverse and this. */
const HOTTEST = 100;

/**
 * The temperature whose softmax gives the right classes the highest likelihood (Guo et al. 2017). The negative logarithm is
 * convex in the inverse temperature: Newton's method, kept within bounds.
 *
 * @param images positions of those that it is fitted on
 * @returns exact as float32
 */
export function fitTemperature({ numbers, classes, labels }: Judged, images: Int32Array): number {
  let [low, high, inverse] = [1 / HOTTEST, HOTTEST, 1];
  for (let step = 0; step < 60; step++) {
    let [slope, curvature] = [0, 0];
    for (const image of images) {
      const row = numbers.subarray(image * classes, (image + 1) * classes);
      const most = row.reduce((a, b) => Math.max(a, b));
      let [sum, first, second] = [0, 0, 0];
      for (const value of row) {
        const power = Math.exp(inverse * (value - most));
        sum += power;
        first += power * (value - most);
        second += power * (value - most) ** 2;
      }
      slope += first / sum - (row[labels[image]!]! - most);
      curvature += second / sum - (first / sum) ** 2;
    }
    if (slope === 0) break;
    if (slope > 0) high = inverse;
    else low = inverse;
    const newton = inverse - slope / curvature;
    const next = newton > low && newton < high ? newton : Math.sqrt(low * high);
    const isClose = Math.abs(next - inverse) <= 1e-7 * inverse;
    inverse = next;
    if (isClose) break;
  }
  return Math.fround(1 / inverse);
}

const BINS = 15;

/**
 * Expected calibration error: over 15 bins of the largest softmax probability, how far its mean is from the share of right
 * answers, weighted by images.
 */
export function calibrationError(judged: Judged, images: Int32Array, temperature: number): number {
  const { numbers, classes, labels } = judged;
  const { classes: answers, confidences } = decide(numbers, classes, 'softmax', classes, temperature);
  const gaps = new Float64Array(BINS);
  for (const image of images) {
    const bin = Math.min(BINS - 1, Math.floor(BINS * confidences[image]!));
    gaps[bin]! += confidences[image]! - Number(answers[image] === labels[image]);
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / images.length;
}
