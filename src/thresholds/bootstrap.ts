import { Random } from '../random.js';
import { drawBinomial } from '../statistics/binomial.js';
import { quantile } from '../statistics/quantiles.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from './evaluate.js';

/** The lower and the upper end. */
export type Interval = readonly [number, number];

/** Intervals of what a row of a table says. */
export interface Intervals {
  readonly accuracy: Interval;
  /** The original's accuracy minus this one's, on the same images. */
  readonly accuracyDrop: Interval;
  /** Average FLOPs per image. */
  readonly flops: Interval;
}

/**
 * How many images met each outcome: [exit][gated network right][original right], 4 numbers an exit. All that accuracy,
 * drop and FLOPs depend on.
 */
export type OutcomeCounts = Int32Array;

/** @param images positions of the images that are reported on; all by default */
export function countOutcomes(scores: Scores, thresholds: Thresholds, images?: ArrayLike<number>): OutcomeCounts {
  const counts = new Int32Array(4 * (thresholds.length + 1));
  const count = images?.length ?? scores.count;
  for (let i = 0; i < count; i++) {
    const image = images?.[i] ?? i;
    const exit = exitOf(scores, thresholds, image);
    const right = (scores.classes[exit] ?? scores.original)[image] === scores.labels[image];
    counts[4 * exit + 2 * Number(right) + Number(scores.original[image] === scores.labels[image])]!++;
  }
  return counts;
}

/** The counts on disjoint images as those of all of them. */
export function combineOutcomes(parts: readonly OutcomeCounts[]): OutcomeCounts {
  return parts[0]!.map((_, i) => parts.reduce((sum, part) => sum + part[i]!, 0));
}

export interface Bootstrap {
  /** Default 1000. */
  readonly resamples?: number;
  /** Default 0.95. */
  readonly confidence?: number;
  readonly seed: number;
}

/**
 * Percentile intervals by the bootstrap over images (Efron 1979), paired: each resample draws images with replacement and
 * takes the gated and the original network's answers to the same images. Images of one outcome are alike, so how many of
 * each outcome a resample draws is drawn at once, from the multinomial distribution that drawing the images one by one
 * would give: exact, and a thousand resamples take milliseconds whatever the number of images.
 *
 * What varies is the choice of images that are reported on; thresholds, gates and folds stay as they are.
 */
export function bootstrap(counts: OutcomeCounts, costs: ExitCosts, options: Bootstrap): Intervals {
  const { resamples = 1000, confidence = 0.95, seed } = options;
  const random = new Random(seed, 'bootstrap');
  const count = counts.reduce((sum, number) => sum + number, 0);
  const columns = Array.from({ length: 3 }, () => new Float64Array(resamples));
  const [accuracies, drops, flops] = columns as [Float64Array, Float64Array, Float64Array];
  for (let r = 0; r < resamples; r++) {
    let [left, leftOf, right, original, spent] = [count, count, 0, 0, 0];
    counts.forEach((number, outcome) => {
      const drawn = drawBinomial(random, left, number / leftOf);
      if (outcome & 2) right += drawn;
      if (outcome & 1) original += drawn;
      spent += drawn * costs[outcome >> 2]!;
      left -= drawn;
      leftOf -= number;
    });
    accuracies[r] = right / count;
    drops[r] = (original - right) / count;
    flops[r] = spent / count;
  }
  const interval = (values: Float64Array): Interval => {
    values.sort();
    const tail = (1 - confidence) / 2;
    return [quantile(values, tail), quantile(values, 1 - tail)];
  };
  return { accuracy: interval(accuracies), accuracyDrop: interval(drops), flops: interval(flops) };
}
