/** The ends of a confidence interval. Both are NaN if the data held NaN, so that no comparison with an end is true. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** An interval as tables in JSON hold it. */
export type IntervalEnds = readonly [low: number, high: number];

export const endsOf = ({ low, high }: Interval): IntervalEnds => [low, high];
