import { meanInterval } from '../statistics/intervals.js';
import { type Interval, mean } from '../statistics/samples.js';
import { type ExitCosts, exitOf, type Scores, type Thresholds } from '../thresholds/evaluate.js';

/** FLOPs and accuracy drop of thresholds, with 95 % intervals over the test images. */
export interface Measures {
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly flopsInterval: Interval;
  /** The original's accuracy minus this one's, image by image. */
  readonly drop: number;
  readonly dropInterval: Interval;
}

/** Images of a split and the thresholds applied to them. */
interface ThresholdedImages {
  readonly scores: Scores;
  readonly thresholds: Thresholds;
  /** Positions of the images; all by default. */
  readonly images?: ArrayLike<number>;
}

/** Measures over the images of all sets. @param sets images with their thresholds */
export function measureThresholds(sets: readonly ThresholdedImages[], costs: ExitCosts): Measures {
  const flops: number[] = [];
  const drops: number[] = [];
  for (const { scores, thresholds, images } of sets) {
    for (let i = 0; i < (images?.length ?? scores.count); i++) {
      const image = images?.[i] ?? i;
      const exit = exitOf(scores, thresholds, image);
      const label = scores.labels[image];
      const predicted = (scores.classes[exit] ?? scores.original)[image];
      flops.push(costs[exit]!);
      drops.push(Number(scores.original[image] === label) - Number(predicted === label));
    }
  }
  return {
    flops: mean(flops),
    flopsInterval: meanInterval(flops),
    drop: mean(drops),
    dropInterval: meanInterval(drops),
  };
}

/** Share of FLOPs saved and its interval. @param total FLOPs of the original network */
export function flopsReductionOf(
  { flops, flopsInterval }: Measures,
  total: number,
): { share: number; interval: Interval } {
  return {
    share: 1 - flops / total,
    interval: { low: 1 - flopsInterval.high / total, high: 1 - flopsInterval.low / total },
  };
}
