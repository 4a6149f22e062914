import { z } from 'zod';
import { list, real, text, whole } from '../experiment/rules.js';
import type { AnalysisKind, OptionProblem } from '../experiment/schema.js';
import type { Findings } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';

/** One kind of analysis: its options as a schema, what does not fit the rest of its experiment, and what it finds. */
export interface Analysis extends AnalysisKind {
  compute(run: ScoredRun, options: unknown): Promise<Findings>;
}

/** Declares an analysis; the registry is `index.ts`. */
export function defineAnalysis<Options extends AnalysisKind['options']>(analysis: {
  readonly options: Options;
  problems?(
    options: z.output<Options>,
    experiment: Parameters<NonNullable<AnalysisKind['problems']>>[1],
  ): OptionProblem[];
  compute(run: ScoredRun, options: z.output<Options>): Promise<Findings>;
}) {
  return analysis;
}

// Options that several analyses have.

/** Names of classes. */
export const classNames = list(text('a class of the dataset', /^[^\n]+$/), "a list of classes: ['cat', 'truck']").min(
  1,
  {
    error: 'at least one class',
  },
);
/** Classes by their superordinate category: `{ animal: ['cat', 'dog'], vehicle: ['truck'] }`. */
export const groups = z.record(z.string(), classNames, {
  error: "an object of lists: { animal: ['cat'], vehicle: ['truck'] }",
});
export type ClassGroups = Readonly<Record<string, readonly string[]>>;

export const gateNumber = whole(1, 100);
const twoGatesText = 'two gates, counted from 1, in their order: [1, 2]';
/** Two gates, counted from 1. Default the first two. */
export const twoGates = list(gateNumber, twoGatesText).length(2, { error: twoGatesText }).default([1, 2]);

export function pairProblems(
  pair: readonly number[],
  { gates }: { gates: { after: readonly number[] } },
): OptionProblem[] {
  const [first, second] = [pair[0]!, pair[1]!];
  const count = gates.after.length;
  if (first < second && second <= count) return [];
  return [{ path: ['gates'], message: `two of the ${count} gates, counted from 1, in their order`, input: pair }];
}

const sharesText = 'at least two shares of FLOPs, ascending: [0.1, 0.2]';
/** Shares of FLOPs saved. */
export const reductions = list(real(0.001, 0.99, 'a share of FLOPs from 0.001 to 0.99'), sharesText).min(2, {
  error: sharesText,
});

export function orderProblems(reductions: readonly number[]): OptionProblem[] {
  const ascending = reductions.every((value, i, all) => i === 0 || value > all[i - 1]!);
  return ascending ? [] : [{ path: ['reductions'], message: sharesText, input: reductions }];
}
