import type { ConfidenceKind } from '../gates/confidence.js';
import type { Loss } from '../gates/loss.js';
import { meanInterval } from '../statistics/intervals.js';
import { type Interval, mean, percentileInterval } from '../statistics/samples.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from '../thresholds/evaluate.js';
import { choosePoint, paretoFrontier } from '../thresholds/frontier.js';
import { isRightAt } from './analysis.js';

/** A loss to train gates with and a confidence to read from them. */
export interface Variant {
  readonly loss: Loss;
  readonly confidence: ConfidenceKind;
}

/** The variants compared in Figure 4: the paper's, and confidences of the literature. */
export const variants: readonly Variant[] = [
  { loss: 'hinge', confidence: 'max' },
  { loss: 'hinge', confidence: 'difference' },
  { loss: 'cross-entropy', confidence: 'max' },
  { loss: 'cross-entropy', confidence: 'softmax' },
  { loss: 'cross-entropy', confidence: 'entropy' },
  { loss: 'cross-entropy', confidence: 'difference' },
];

export const variantName = ({ loss, confidence }: Variant): string => `${loss}, ${confidence}`;

/** Scores of a variant's gates with one seed. */
export interface ScoredGates {
  /** On the images that choose thresholds. */
  readonly held: Scores;
  readonly test: Scores;
}

/** Thresholds chosen on validation images for a budget of FLOPs. */
interface Choice {
  /** Least share of the original's FLOPs to save, on the validation images. */
  readonly budget: number;
  readonly thresholds: Thresholds;
  /** On the validation images. */
  readonly accuracy: number;
}

/**
 * For each budget the most accurate thresholds on the validation images that keep it.
 *
 * @param total FLOPs of the original network
 * @param budgets shares of FLOPs to save; impossible ones are omitted
 */
export function chooseForBudgets(held: Scores, costs: ExitCosts, total: number, budgets: readonly number[]): Choice[] {
  const images = Int32Array.from({ length: held.count }, (_, i) => i);
  const { points, count } = paretoFrontier(held, costs, images);
  return budgets.flatMap((share): Choice[] => {
    const point = choosePoint(points, count, { kind: 'flops', budget: (1 - share) * total }, costs);
    return point === undefined ? [] : [{ budget: share, thresholds: point.thresholds, accuracy: point.accuracy }];
  });
}

/** A choice evaluated on the test images, image by image. */
export interface Tested extends Choice {
  /** 1 - FLOPs / the original's, averaged over the test images. */
  readonly reduction: number;
  /** Whether each image is classified right, [images] of 0 and 1. */
  readonly right: Uint8Array;
}

export function testChoice(scores: Scores, costs: ExitCosts, total: number, choice: Choice): Tested {
  const right = new Uint8Array(scores.count);
  let flops = 0;
  for (let image = 0; image < scores.count; image++) {
    const exit = exitOf(scores, choice.thresholds, image);
    flops += costs[exit]!;
    right[image] = Number(isRightAt(scores, exit, image));
  }
  return { ...choice, reduction: 1 - flops / scores.count / total, right };
}

/**
 * The curve at a share of FLOPs saved on the test images: linear between two neighbouring choices, as if each image
 * drew one of them at random. Below the first choice the curve is constant: that choice saves more and is the best on
 * the validation images. Undefined above the last one.
 *
 * @returns probability that each image is classified right, [images]
 */
export function curveAt(tested: readonly Tested[], reduction: number): Float32Array | undefined {
  const sorted = [...tested].sort((a, b) => a.reduction - b.reduction);
  const after = sorted.findIndex((point) => point.reduction >= reduction);
  if (after < 0) return undefined;
  const right = sorted[after]!;
  const left = sorted[after - 1];
  if (left === undefined) return Float32Array.from(right.right);
  const weight = (reduction - left.reduction) / (right.reduction - left.reduction);
  const [above, below] = [right.right, left.right];
  const curve = new Float32Array(above.length); // a plain loop: `from` takes ten times as long
  for (let image = 0; image < curve.length; image++) {
    curve[image] = weight * above[image]! + (1 - weight) * below[image]!;
  }
  return curve;
}

/** A variant at one share of FLOPs saved. */
interface AccuracyPoint {
  readonly reduction: number;
  /** Per seed, the probability that each test image is classified right. */
  readonly bySeed: readonly Float32Array[];
  /** Their mean over the seeds. */
  readonly right: Float32Array;
}

/** @param seeds per seed, its choices on the test images */
export function curveOf(seeds: readonly (readonly Tested[])[], reductions: readonly number[]): AccuracyPoint[] {
  return reductions.flatMap((reduction): AccuracyPoint[] => {
    const bySeed = seeds.flatMap((tested) => curveAt(tested, reduction) ?? []);
    if (bySeed.length < seeds.length) return [];
    const right = new Float32Array(bySeed[0]!.length);
    for (const of of bySeed) for (let i = 0; i < right.length; i++) right[i]! += of[i]! / bySeed.length;
    return [{ reduction, bySeed, right }];
  });
}

/** Accuracy of a point, its 95 % interval over the test images, and the seeds' range. */
export function accuracyOf({ right, bySeed }: AccuracyPoint) {
  const perSeed = bySeed.map((of) => mean(of));
  return {
    accuracy: mean(right),
    interval: meanInterval(right),
    least: Math.min(...perSeed),
    most: Math.max(...perSeed),
  };
}

type Winner = 'hinge' | 'cross-entropy' | 'neither shown';

/** Hinge minus cross-entropy at one share of FLOPs saved, on the same images. */
export interface Difference {
  readonly reduction: number;
  /** Difference of accuracies, mean over the seeds. */
  readonly difference: number;
  /** Simultaneous intervals: all differences of a comparison lie in theirs with 95 % confidence. */
  readonly interval: Interval;
  /** The difference minus that at the smallest share, with its own 95 % interval. */
  readonly growth: { readonly value: number; readonly interval: Interval };
  /** Least and largest difference of a seed. */
  readonly least: number;
  readonly most: number;
  readonly winner: Winner;
}

/**
 * Compares two curves image by image at their common shares: the mean over the seeds, simultaneous intervals (Bonferroni)
 * from how it varies with the images.
 *
 * @param deviations of resampled differences from the difference, [replicates, reductions] row-major
 * @param reductions shares of the columns of `deviations`
 * @throws RangeError without common shares
 */
export function compareCurves(
  hinge: readonly AccuracyPoint[],
  other: readonly AccuracyPoint[],
  deviations: Float64Array,
  reductions: readonly number[],
): Difference[] {
  const pairs = hinge.flatMap((a) => {
    const b = other.find(({ reduction }) => reduction === a.reduction);
    return b === undefined ? [] : [{ a, b, column: reductions.indexOf(a.reduction) }];
  });
  if (pairs.length === 0) throw new RangeError('no share of FLOPs that both curves reach');
  const width = reductions.length;
  const around = (middle: number, of: (row: number) => number): Float64Array =>
    Float64Array.from({ length: deviations.length / width }, (_, replicate) => middle + of(replicate * width));
  return pairs.map(({ a, b, column }): Difference => {
    const perSeed = a.bySeed.map((of, i) => mean(of) - mean(b.bySeed[i]!));
    const difference = mean(a.right) - mean(b.right);
    const replicates = around(difference, (row) => deviations[row + column]!);
    const interval = percentileInterval(replicates, 1 - 0.05 / pairs.length);
    const [least, most] = [Math.min(...perSeed), Math.max(...perSeed)];
    const value = difference - (mean(pairs[0]!.a.right) - mean(pairs[0]!.b.right));
    const grown = around(value, (row) => deviations[row + column]! - deviations[row + pairs[0]!.column]!);
    const growth = { value, interval: percentileInterval(grown, 0.95) };
    return {
      reduction: a.reduction,
      difference,
      interval,
      growth,
      least,
      most,
      winner: winnerOf(interval, least, most),
    };
  });
}

/** One loss is better if the interval excludes zero and every seed agrees. */
function winnerOf({ low, high }: Interval, least: number, most: number): Winner {
  if (low > 0 && least > 0) return 'hinge';
  if (high < 0 && most < 0) return 'cross-entropy';
  return 'neither shown';
}

/** A candidate lambda. */
export interface Regularisation extends Variant {
  readonly l2: number;
  /** On the validation images, mean over the compared shares of FLOPs. */
  readonly accuracy: number;
  readonly chosen: boolean;
}

/** A variant with its chosen lambda. */
export interface ComparedVariant {
  readonly variant: Variant;
  readonly l2: number;
  readonly seeds: readonly number[];
  /** Per seed, its choices of thresholds on the test images. */
  readonly tested: readonly (readonly Tested[])[];
  /** Per seed, what they were chosen on and tested on. */
  readonly scored: readonly ScoredGates[];
  readonly curve: readonly AccuracyPoint[];
}

/** Hinge with one confidence against cross-entropy with another. */
export interface ComparedLosses {
  readonly hinge: ConfidenceKind;
  readonly other: ConfidenceKind;
  readonly differences: readonly Difference[];
}
