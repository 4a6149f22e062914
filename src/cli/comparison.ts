import { relative } from 'node:path';
import type { Comparison, ResultDifference } from '../batch/compare.js';
import { renderComparison, renderComparisonCsv } from '../report/comparison.js';
import { cellText, heading } from '../report/format.js';

const columns = ['kind', 'item', 'quantity', 'a', 'b', 'difference', 'difference_low', 'difference_high'];

/** A comparison as CSV: one row for each difference. */
export function comparisonCsv({ basis, results }: Comparison): string {
  return renderComparisonCsv(columns, [
    ...basis.map(({ path, a, b }) => ['definition', path, null, a, b, null, null, null]),
    ...results.map(({ row, quantity, a, b, difference, interval }) => {
      return ['result', row, quantity, a, b, difference, interval?.[0] ?? null, interval?.[1] ?? null];
    }),
  ]);
}

/** A comparison as tables for people. @param root folder of results, left out of the names of runs */
export function comparisonText(
  comparison: Comparison,
  root: string,
  format: Parameters<typeof renderComparison>[1],
): string {
  return renderComparison(tablesOf(comparison, root), format);
}

function tablesOf({ a, b, basis, results, equalRows, intervals }: Comparison, root: string) {
  const named = (folder: string): string => {
    const short = relative(root, folder);
    return short.startsWith('..') ? folder : short;
  };
  const notes = {
    paired: 'intervals: 95 % of the mean difference, seed by seed (Student)',
    independent: 'intervals: 95 % of the difference of means, seeds as independent samples (Welch)',
  };
  const same = basis.length + results.length === 0 ? ['nothing differs'] : [];
  return {
    title: `A: ${named(a)}, B: ${named(b)}`,
    tables: [
      {
        title: 'What they rest on',
        head: ['Definition', 'A', 'B'],
        rows: basis.map(({ path, a: one, b: two }) => [path, shown(one), shown(two)]),
      },
      {
        title: 'What came out',
        head: ['Row', 'Quantity', 'A', 'B', 'B - A', ...(intervals === undefined ? [] : ['95 % interval'])],
        rows: results.map((result) => resultCells(result, intervals !== undefined)),
      },
    ],
    notes: [
      ...same,
      ...(equalRows > 0 ? [`${equalRows} row${equalRows > 1 ? 's' : ''} equal in everything`] : []),
      ...(intervals === undefined ? [] : [notes[intervals]]),
    ],
  };
}

function resultCells({ row, quantity, a, b, difference, interval }: ResultDifference, spread: boolean): string[] {
  const cell = (value: number | null): string => (value === null ? 'not there' : cellText(quantity, value));
  const signed = (value: number): string => `${value > 0 ? '+' : ''}${cellText(quantity, value)}`;
  return [
    row,
    heading(quantity),
    cell(a),
    cell(b),
    difference === null ? '' : signed(difference),
    ...(spread ? [interval === null ? '' : `${signed(interval[0])} .. ${signed(interval[1])}`] : []),
  ];
}

const shown = (value: number | string | null): string => {
  if (value === null) return 'not there';
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : String(value);
};
