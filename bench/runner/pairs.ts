import { setTimeout as delay } from 'node:timers/promises';
import { median } from '../../src/statistics/intervals.js';
import type { Ratio, Target } from './types.js';

/** One round: what we and the other took, in the same unit. */
export interface Pair {
  readonly ours: number;
  readonly peer: number;
}

export interface TurnOptions {
  /** At least that many rounds. */
  readonly rounds: number;
  /** And at least that long, all together; 0 by default. */
  readonly seconds?: number;
  /** Before each run: threads of what ran last go to sleep; 30 by default. */
  readonly restMs?: number;
}

/** Does something once and returns what is compared: seconds, images per second, bytes. */
export type Work = () => Promise<number> | number;

/** Runs us and the other in turn, round by round, the order alternating. One untimed round goes before. */
export async function inTurn(ours: Work, peer: Work, options: TurnOptions): Promise<Pair[]> {
  const [a, b] = await allInTurn([ours, peer], options);
  return pairsOf(a!, b!);
}

/** Several in turn, round by round, forwards and backwards. @returns of each what its rounds gave */
export async function allInTurn(
  works: readonly Work[],
  { rounds, seconds = 0, restMs = 30 }: TurnOptions,
): Promise<number[][]> {
  const run = async (work: Work): Promise<number> => {
    await delay(restMs);
    return work();
  };
  for (const work of works) await run(work);
  const found = works.map((): number[] => []);
  const began = performance.now();
  for (let round = 0; round < rounds || performance.now() - began < 1000 * seconds; round++) {
    for (let i = 0; i < works.length; i++) {
      const at = round % 2 === 0 ? i : works.length - 1 - i;
      found[at]!.push(await run(works[at]!));
    }
  }
  return found;
}

/** Rounds of two that ran in turn. */
export function pairsOf(ours: readonly number[], peer: readonly number[]): Pair[] {
  return ours.map((value, round) => ({ ours: value, peer: peer[round]! }));
}

/** Milliseconds that some work takes. */
export async function milliseconds(work: () => Promise<unknown> | unknown): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** The line of a table from its rounds. @param rest what the rounds do not say */
export function ratioOf(
  pairs: readonly Pair[],
  rest: { what: string; against: string; unit: string; target?: Target; note?: string },
): Ratio {
  const ratios = pairs.map(({ ours, peer }) => ours / peer);
  return {
    ...rest,
    note: rest.note ?? '',
    ours: median(pairs.map((pair) => pair.ours)),
    peer: median(pairs.map((pair) => pair.peer)),
    ratio: median(ratios),
    low: quantile(ratios, 0.25),
    high: quantile(ratios, 0.75),
    rounds: pairs.length,
  };
}

/** Linear between the two nearest values (R's type 7). @param share 0 to 1 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (at - Math.floor(at)) * (high - low);
}
