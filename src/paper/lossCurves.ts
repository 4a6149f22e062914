import type { ConfidenceKind } from '../gates/confidence.js';
import type { Loss } from '../gates/loss.js';
import { Random } from '../random.js';
import { mean, meanInterval, percentileInterval } from '../statistics/intervals.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from '../thresholds/evaluate.js';
import { choosePoint, gridFrontier, paretoFrontier } from '../thresholds/frontier.js';
import { achievableLevels, levelOf, makeGrid, quantileLevels, savingOf } from '../thresholds/grid.js';
import { isRightAt } from './analysis.js';

/** A loss to train gates with and a confidence to read from them. */
export interface Variant {
  readonly loss: Loss;
  readonly confidence: ConfidenceKind;
}

export const variantName = ({ loss, confidence }: Variant): string => `${loss}, ${confidence}`;

/** Scores of a variant's gates with one seed. */
export interface ScoredGates {
  /** On the images that choose thresholds. */
  readonly held: Scores;
  readonly test: Scores;
}

const everyImage = ({ count }: Scores): Int32Array => Int32Array.from({ length: count }, (_, i) => i);

/**
 * For each budget, a share of the original's `total` FLOPs to save, the most accurate thresholds on the validation images that
 * keep it, and that accuracy; impossible budgets are omitted.
 */
export function chooseForBudgets(held: Scores, costs: ExitCosts, total: number, budgets: readonly number[]) {
  const { points, count } = paretoFrontier(held, costs, everyImage(held));
  return budgets.flatMap((budget) => {
    const point = choosePoint(points, count, { kind: 'flops', budget: (1 - budget) * total }, costs);
    return point === undefined ? [] : [{ budget, thresholds: point.thresholds, accuracy: point.accuracy }];
  });
}

/** What thresholds do on the test images. */
export interface Tested {
  /** 1 - FLOPs / the original's, averaged over the test images. */
  readonly reduction: number;
  /** Whether each image is classified right, [images] of 0 and 1. */
  readonly right: Uint8Array;
}

/** A choice evaluated on the test images. @param total FLOPs of the original network */
export function testChoice<Choice extends { readonly thresholds: Thresholds }>(
  scores: Scores,
  costs: ExitCosts,
  total: number,
  choice: Choice,
): Choice & Tested {
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
 * The curve at a share of FLOPs saved on the test images: linear between two neighbouring choices, as if each image drew one of
 * them at random; constant below the first choice, which is the best there on the validation images.
 *
 * @returns probability that each image is classified right, [images]; undefined above the last choice
 */
export function curveAt(tested: readonly Tested[], reduction: number): Float32Array | undefined {
  const sorted = [...tested].sort((a, b) => a.reduction - b.reduction);
  const after = sorted.findIndex((point) => point.reduction >= reduction);
  if (after < 0) return undefined;
  const [left, right] = [sorted[after - 1], sorted[after]!];
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
  const [least, most] = [Math.min(...perSeed), Math.max(...perSeed)];
  return { accuracy: mean(right), interval: meanInterval(right), least, most };
}

/**
 * Hinge minus cross-entropy at their common shares of FLOPs saved, on the same images: the mean over the seeds, and simultaneous
 * 95 % intervals (Bonferroni). `growth` is the difference minus that at the smallest share, with its own 95 % interval; `least`
 * and `most` are the range of the seeds. One loss is better if the interval excludes zero and all seeds agree.
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
) {
  const pairs = hinge.flatMap((a) => {
    const b = other.find(({ reduction }) => reduction === a.reduction);
    return b === undefined ? [] : [{ a, b, column: reductions.indexOf(a.reduction) }];
  });
  if (pairs.length === 0) throw new RangeError('no share of FLOPs that both curves reach');
  const width = reductions.length;
  const around = (middle: number, of: (row: number) => number): Float64Array =>
    Float64Array.from({ length: deviations.length / width }, (_, replicate) => middle + of(replicate * width));
  const first = pairs[0]!;
  return pairs.map(({ a, b, column }) => {
    const perSeed = a.bySeed.map((of, i) => mean(of) - mean(b.bySeed[i]!));
    const difference = mean(a.right) - mean(b.right);
    const replicates = around(difference, (row) => deviations[row + column]!);
    const interval = percentileInterval(replicates, 1 - 0.05 / pairs.length);
    const [least, most] = [Math.min(...perSeed), Math.max(...perSeed)];
    const value = difference - (mean(first.a.right) - mean(first.b.right));
    const grown = around(value, (row) => deviations[row + column]! - deviations[row + first.column]!);
    const growth = { value, interval: percentileInterval(grown, 0.95) };
    const isWorse = interval.high < 0 && most < 0;
    const winner = interval.low > 0 && least > 0 ? 'hinge' : isWorse ? 'cross-entropy' : 'neither shown';
    return { reduction: a.reduction, difference, interval, growth, least, most, winner };
  });
}

// Resampling.

// Resamples of the choosing images, and of the test images for each of them; thresholds of each gate to choose from.
const CHOOSING = 200;
const TESTING = 50;
const LEVELS = 64;

export interface Resampled {
  /** Per variant, its gates with each seed. */
  readonly variants: readonly (readonly ScoredGates[])[];
  /** Positions of the two variants of each comparison. */
  readonly pairs: readonly (readonly [number, number])[];
  readonly costs: ExitCosts;
  /** FLOPs of the original network. */
  readonly total: number;
  /** Shares of FLOPs to save, for which thresholds are chosen. */
  readonly budgets: readonly number[];
  /** Shares of FLOPs saved at which curves are compared. */
  readonly reductions: readonly number[];
}

/**
 * How differences of two curves vary with the images, by a bootstrap in two steps: 200 times the choosing images are drawn with
 * replacement and all thresholds chosen again, from 64 of each gate; for each of these choices the test images are drawn 50
 * times. All variants and seeds share the draws, so differences stay paired.
 *
 * @returns per comparison, deviations from the difference without resampling, [10,000, reductions] row-major
 */
export function resampleDifferences(curves: Resampled, seed: number): Float64Array[] {
  const { variants, pairs, reductions } = curves;
  const choices = variants.map((seeds) => seeds.map((scored) => gridChoices(scored, curves)));
  const { held, test } = variants[0]![0]!;
  const [choosing, testing] = [new Random(seed, 'choosing'), new Random(seed, 'bootstrap')];
  const all = everyImage(held);
  const columns = pairs.length * reductions.length;
  const differencesOf = (images: Int32Array): Sparse[] => {
    const drawn = choices.map((seeds) => {
      const tested = seeds.map((choose) => choose(images));
      return curveOf(tested, reductions);
    });
    return pairs.flatMap(([a, b]) =>
      reductions.map((_, at) => sparseDifference(drawn[a]![at]!.right, drawn[b]![at]!.right)),
    );
  };
  const centre = differencesOf(all).map(({ values }) => values.reduce((sum, value) => sum + value, 0) / test.count);
  const deviations = pairs.map(() => new Float64Array(CHOOSING * TESTING * reductions.length));
  const weights = new Uint16Array(test.count);
  for (let choice = 0; choice < CHOOSING; choice++) {
    const sparse = differencesOf(all.map(() => choosing.below(held.count)));
    for (let draw = 0; draw < TESTING; draw++) {
      weights.fill(0);
      for (let i = 0; i < test.count; i++) weights[testing.below(test.count)]!++;
      const row = (choice * TESTING + draw) * reductions.length;
      for (let column = 0; column < columns; column++) {
        const { positions, values } = sparse[column]!;
        let sum = 0;
        for (let i = 0; i < positions.length; i++) sum += weights[positions[i]!]! * values[i]!;
        const at = column % reductions.length;
        deviations[(column - at) / reductions.length]![row + at] = sum / test.count - centre[column]!;
      }
    }
  }
  return deviations;
}

type Sparse = ReturnType<typeof sparseDifference>;

/** The few images on which two variants differ, and by how much. */
function sparseDifference(a: Float32Array, b: Float32Array) {
  const [positions, values] = [new Int32Array(a.length), new Float64Array(a.length)];
  let count = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference === 0) continue;
    positions[count] = i;
    values[count++] = difference;
  }
  return { positions: positions.slice(0, count), values: values.slice(0, count) };
}

/** Prepares choices of thresholds for all budgets on any sample of the choosing images: positions, with repetitions. */
function gridChoices({ held, test }: ScoredGates, { costs, total, budgets }: Resampled) {
  const levels = held.confidences.map((of) => quantileLevels(achievableLevels(of, everyImage(held)), LEVELS));
  const grid = makeGrid(test, everyImage(test), levels);
  /** FLOPs saved on all test images by each combination of levels. */
  const saved = grid.sum((gate) => savingOf(costs, gate));
  const known = new Map<number, Tested>();
  const testAt = (combination: number): Tested => {
    const reduction = 1 - (costs.at(-1)! - saved[combination]! / test.count) / total;
    const answers = () => testChoice(test, costs, total, { thresholds: grid.thresholds(combination) }).right;
    const tested = known.get(combination) ?? withAnswers(reduction, answers);
    known.set(combination, tested);
    return tested;
  };
  return (images: Int32Array): Tested[] => {
    const { points, count } = gridFrontier(held, costs, images, levels);
    const combinations = budgets.map((share) => {
      const point = choosePoint(points, count, { kind: 'flops', budget: (1 - share) * total }, costs);
      const { thresholds } = point ?? points.at(-1)!; // the cheapest if none keeps the budget
      return levels.reduce((sum, own, gate) => sum * own.length + levelOf(own, thresholds[gate]!), 0);
    });
    const tested = [...new Set(combinations)].map(testAt);
    const last = tested.reduce((a, b) => (b.reduction > a.reduction ? b : a));
    // Constant beyond the last choice, so that all resamples reach all shares.
    return [...tested, withAnswers(Number.POSITIVE_INFINITY, () => last.right)];
  };
}

/** A choice whose answers are computed on first use: few choices are neighbours of a compared share. */
function withAnswers(reduction: number, answers: () => Uint8Array): Tested {
  let known: Uint8Array | undefined;
  return {
    reduction,
    get right() {
      known ??= answers();
      return known;
    },
  };
}
