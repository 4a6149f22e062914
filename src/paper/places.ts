import { z } from 'zod';
import { list, real, whole } from '../experiment/rules.js';
import type { FindingTable } from '../report/findings.js';
import { originalAccuracy, type Part } from '../run/search.js';
import type { ScoredRun } from '../run/stages.js';
import { combine, type ExitCosts, evaluate } from '../thresholds/evaluate.js';
import { type FrontierPoint, paretoFrontier } from '../thresholds/frontier.js';
import { jointSearch } from '../thresholds/methods.js';
import { defineAnalysis, scoresOf, tableOf } from './analysis.js';

const share = 'a share of accuracy from 0 to 0.5: 0.01 is one point';
const options = z.strictObject({
  kind: z.literal('places'),
  /** Accuracies to keep, as margins below the original's. */
  margins: list(real(0, 0.5, share), 'a list of margins: [0.005, 0.01]').default([0.005, 0.01, 0.02]),
  /** Most gates together. */
  most: whole(1, 4).default(4),
});
type Options = z.output<typeof options>;

/** Where gates should sit: the fewest FLOPs at each margin for all sets of up to four gates, without the cost of other gates. */
export const places = defineAnalysis({
  options,
  async compute(run, asked) {
    const search = searchPlaces(run, asked);
    return { tables: [bestTable(run, search, asked), eachTable(run, search, asked)] };
  },
});

/** All sets of gates with their thresholds on each part's choosing images. */
function searchPlaces({ parts, plan, original }: ScoredRun, { margins, most }: Options) {
  const sets = setsOf(plan.costs.length - 1, most);
  const chosen = parts.map(({ selection }) => searchSets(selection, sets, margins, plan.costsOf));
  const reduction = (flops: number): number => 1 - flops / original.flops;
  /** Share of the FLOPs that a set saves, the mean over the parts' choosing images. */
  const saved = (set: number, margin: number): number =>
    reduction(chosen.reduce((sum, found) => sum + found[margin]![set]!.flops, 0) / parts.length);
  /** The set that saves most among some, the smallest of equals. */
  const bestOf = (of: (set: number) => number, among: (set: readonly number[]) => boolean): number | undefined =>
    sets.flatMap((set, i) => (among(set) ? [i] : [])).sort((a, b) => of(b) - of(a) || a - b)[0];
  return { sets, chosen, reduction, saved, bestOf };
}

type Search = ReturnType<typeof searchPlaces>;

/** The best set of each size; reported with the set that is best on each part's own choosing images. */
function bestTable({ parts, plan, original }: ScoredRun, search: Search, { margins, most }: Options): FindingTable {
  const { sets, chosen, reduction, saved, bestOf } = search;
  const sizes = Array.from({ length: Math.min(most, plan.costs.length - 1) }, (_, i) => i + 1);
  const stages = (set: number): string =>
    sets[set]!.map((gate) => plan.exits[gate]!.place?.stage ?? gate + 1).join(' ');
  const rows = margins.flatMap((margin_fraction, margin) =>
    sizes.map((most_gates) => {
      const fits = (set: readonly number[]): boolean => set.length <= most_gates;
      const best = bestOf((set) => saved(set, margin), fits)!;
      const own = chosen.map((found) => bestOf((set) => -found[margin]![set]!.flops, fits)!);
      const evaluations = parts.map(({ evaluation: { scores, images } }, i) => {
        const { thresholds } = chosen[i]![margin]![own[i]!]!;
        const set = sets[own[i]!]!;
        // Exits are not counted: parts may use different gates.
        return { ...evaluate(scoresOf(scores, set), thresholds, plan.costsOf(set), images), exits: [] };
      });
      return { margin_fraction, most_gates, best, own, reported: combine(evaluations), saved: saved(best, margin) };
    }),
  );
  return tableOf({ name: 'places', title: 'The best gates, up to so many together', consoleRows: rows.length }, rows, [
    'margin_fraction',
    'most_gates',
    ['gates_after', ({ best }) => stages(best)],
    ['choosing_flops_reduction_fraction', (row) => row.saved],
    ['gates_after_by_part', ({ own }) => own.map(stages).join(' | ')],
    ['flops_reduction_fraction', ({ reported }) => reduction(reported.flops)],
    ['accuracy_drop_fraction', ({ reported }) => original.accuracy - reported.accuracy],
  ]);
}

/** Each place alone, and what the best set loses without it. */
function eachTable({ plan, original }: ScoredRun, search: Search, { margins }: Options): FindingTable {
  const { sets, saved, bestOf } = search;
  const rows = margins.flatMap((margin_fraction, margin) => {
    const of = (set: number): number => saved(set, margin);
    const best = of(bestOf(of, () => true)!);
    return plan.exits.slice(0, -1).map(({ network, place }, gate) => {
      const without = bestOf(of, (set) => !set.includes(gate));
      const alone = of(sets.findIndex(([first, second]) => first === gate && second === undefined));
      const stage = place?.stage ?? null;
      const name = stage === null ? `network ${network + 1}` : (plan.flops.stages[stage - 1]?.name ?? '');
      const adds = best - (without === undefined ? 0 : of(without));
      return { margin_fraction, gate, stage, place: name, alone, adds };
    });
  });
  const title = 'What each place adds, on the choosing images';
  return tableOf({ name: 'places-each', title, consoleRows: rows.length }, rows, [
    'margin_fraction',
    'stage',
    'place',
    ['exit_flops_fraction', ({ gate }) => plan.costsOf([gate])[0]! / original.flops],
    ['alone_flops_reduction_fraction', ({ alone }) => alone],
    ['adds_flops_reduction_fraction', ({ adds }) => adds],
  ]);
}

/** All non-empty sets of at most `most` of `count` positions, ascending; the smaller first. */
export function setsOf(count: number, most: number): number[][] {
  let last: number[][] = [[]];
  return Array.from({ length: most }, () => {
    last = last.flatMap((set) => {
      const from = (set.at(-1) ?? -1) + 1;
      return Array.from({ length: count - from }, (_, i) => [...set, from + i]);
    });
    return last;
  }).flat();
}

/** @returns by margin, then by set: the thresholds with the fewest FLOPs; closed ones if none keep the margin */
export function searchSets(
  { scores, images }: Part['selection'],
  sets: readonly (readonly number[])[],
  margins: readonly number[],
  costsOf: (exits: readonly number[]) => ExitCosts,
): FrontierPoint[][] {
  const found = margins.map((): FrontierPoint[] => []);
  const accuracy = originalAccuracy(scores, images);
  for (const set of sets) {
    const [of, costs] = [scoresOf(scores, set), costsOf(set)];
    const frontier = paretoFrontier(of, costs, images);
    margins.forEach((margin, i) => {
      const objective = { kind: 'accuracy', required: accuracy - margin } as const;
      found[i]!.push(jointSearch(of, costs, images, objective, frontier)!);
    });
  }
  return found;
}
