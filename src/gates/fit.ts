import {
  type ConfidenceKind,
  decide,
  type ExitState,
  type Fitted,
  failureNumbers,
  ownKinds,
  unfitted,
} from './confidence.js';
import { dot, lbfgs, type Point } from './lbfgs.js';
import { ScalingAccumulator } from './precondition.js';

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
    if (Math.abs(next - inverse) <= 1e-7 * inverse) break;
    inverse = next;
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
  const { classes: answers, confidences } = decide(numbers, classes, 'softmax', classes, {
    fitted: { ...unfitted(classes), temperature },
  });
  const gaps = new Float64Array(BINS);
  for (const image of images) {
    const bin = Math.min(BINS - 1, Math.floor(BINS * confidences[image]!));
    gaps[bin]! += confidences[image]! - Number(answers[image] === labels[image]);
  }
  return gaps.reduce((sum, gap) => sum + Math.abs(gap), 0) / images.length;
}

/** Share of the objective at which a regression is near enough to its lowest. */
const ENOUGH = 1e-9;

/**
 * Logistic regression with a standard normal prior on each weight of the standardised numbers and, `byClass`, on an offset of each
 * answer: by L-BFGS, until the objective, which the priors make strongly convex, is shown to be near its lowest or rounding hides the
 * rest.
 *
 * @param numbers what the prediction weighs, [images, width]
 * @param answers the exit's, and whether they are right, [images]
 * @returns log-odds of a right answer: constant + sum of factors times numbers + offset of the answer
 */
export async function fitLogOdds(
  numbers: Float32Array,
  answers: Int32Array,
  isRight: readonly boolean[],
  [width, classes]: readonly [width: number, classes: number],
  byClass: boolean,
) {
  const scaling = new ScalingAccumulator(width);
  if (numbers.length > 0) scaling.add(numbers);
  const { mean, inverse } = scaling.result();
  const scaled = numbers.map((value, at) => (value - mean[at % width]!) * inverse[at % width]!);
  const evaluate = async (x: Float64Array): Promise<Point> => {
    const gradient = x.slice();
    let value = dot(x, x) / 2;
    for (const [i, right] of isRight.entries()) {
      const at = width + 1 + answers[i]!;
      let odds = x[width]! + (byClass ? x[at]! : 0);
      for (let k = 0; k < width; k++) odds += x[k]! * scaled[i * width + k]!;
      value += Math.max(0, right ? -odds : odds) + Math.log1p(Math.exp(-Math.abs(odds)));
      const slope = 1 / (1 + Math.exp(-odds)) - Number(right);
      for (let k = 0; k < width; k++) gradient[k]! += slope * scaled[i * width + k]!;
      gradient[width]! += slope;
      if (byClass) gradient[at]! += slope;
    }
    return { x, value, gradient };
  };
  const { x } = await lbfgs(await evaluate(new Float64Array(width + 1 + classes)), evaluate, {
    metric: (vector) => Promise.resolve(vector),
    firstFactor: 1 / (1 + isRight.length),
    mostEvaluations: 1000,
    isEnough: ({ value, gradient }) => dot(gradient, gradient) / 2 <= ENOUGH * value,
  });
  const factors = Float64Array.from(inverse, (scale, k) => scale * x[k]!);
  const constant = factors.reduce((sum, factor, k) => sum - factor * mean[k]!, x[width]!);
  return { factors, constant, offsets: x.subarray(width + 1) };
}

/**
 * Failure prediction (`kind: 'failure'`) and thresholds by class: factors and offsets that make the confidence the log-odds of a
 * right answer, given that the network's own is right; of other confidences the offsets alone, in their unit.
 *
 * @param state of the exit, at its temperature
 * @param original the network's own answers; images where they are wrong teach nothing
 * @param choosing positions of the images that choose
 */
export async function fitConfidence(
  { numbers, classes, labels }: Judged,
  kind: ConfidenceKind,
  state: ExitState & { readonly fitted: Fitted },
  original: Int32Array,
  choosing: Int32Array,
  byClass: boolean,
): Promise<Fitted> {
  const { temperature } = state.fitted;
  const { classes: answers, confidences } = decide(numbers, classes, kind, classes, state);
  const images = choosing.filter((image) => original[image] === labels[image]);
  const numbersOf = (image: number): number[] => {
    if (kind !== 'failure') return [confidences[image]!];
    const row = numbers.subarray(image * classes, (image + 1) * classes).map((value) => value / temperature);
    return failureNumbers(row, answers[image]!);
  };
  const weighed = Float32Array.from([...images].flatMap(numbersOf));
  const isRight = Array.from(images, (image) => answers[image] === labels[image]);
  const own = images.map((image) => answers[image]!);
  const width = kind === 'failure' ? ownKinds.length : 1;
  const { factors, constant, offsets } = await fitLogOdds(weighed, own, isRight, [width, classes], byClass);
  if (kind === 'failure') {
    return {
      temperature,
      factors: Float32Array.from(factors),
      offsets: Float32Array.from(offsets, (o) => constant + o),
    };
  }
  // A confidence that says nothing of failures has no unit for offsets.
  const unit = factors[0]! > 0 ? factors[0]! : Number.POSITIVE_INFINITY;
  return { ...state.fitted, offsets: Float32Array.from(offsets, (offset) => offset / unit) };
}
