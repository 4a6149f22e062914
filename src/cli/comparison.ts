import { relative } from 'node:path';
import type { Comparison, ResultDifference } from '../batch/compare.js';
import { csvOf } from '../csv.js';
import { latexText, markdownText, visible } from '../escape.js';
import { cellText, heading, renderColumns } from '../report/columns.js';

/** A comparison as CSV: one row for each difference. */
export function comparisonCsv({ basis, results }: Comparison): string {
  return csvOf([
    ['kind', 'item', 'quantity', 'a', 'b', 'difference', 'difference_low', 'difference_high'],
    ...basis.map(({ path, a, b }) => ['definition', path, null, a, b, null, null, null]),
    ...results.map(({ row, quantity, a, b, difference, interval }) => {
      return ['result', row, quantity, a, b, difference, interval?.[0] ?? null, interval?.[1] ?? null];
    }),
  ]);
}

/** A comparison as tables for people. @param root folder of results, left out of the names of runs */
export const comparisonText = (comparison: Comparison, root: string, format: TextFormat): string =>
  renderComparison(tablesOf(comparison, root), format);

function tablesOf({ a, b, basis, results, equalRows, intervals }: Comparison, root: string) {
  const named = (folder: string): string => {
    const short = relative(root, folder);
    return short.startsWith('..') ? folder : short;
  };
  const notes = {
    paired: 'intervals: 95 % of the mean difference, seed by seed (Student)',
    independent: 'intervals: 95 % of the difference of means, seeds as independent samples (Welch)',
  };
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
      ...(basis.length + results.length === 0 ? ['nothing differs'] : []),
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

type TextFormat = 'table' | 'markdown' | 'latex';

/** The tables of a comparison, cells as text. */
interface ComparisonTables {
  readonly title: string;
  readonly tables: readonly {
    readonly title: string;
    readonly head: readonly string[];
    readonly rows: readonly (readonly string[])[];
  }[];
  readonly notes: readonly string[];
}

/** A comparison for the console, for Markdown or for LaTeX. */
export function renderComparison({ title, tables, notes }: ComparisonTables, format: TextFormat): string {
  const filled = tables.filter(({ rows }) => rows.length > 0);
  const parts = filled.map(({ title: about, head, rows }) => {
    if (format === 'table') return `${visible(about)}\n${renderColumns(head, rows, 'text')}`;
    if (format === 'markdown') return `**${markdownText(about)}**\n\n${markdownTable(head, rows)}\n`;
    return `% ${visible(about)}\n${latexTable(head, rows)}`;
  });
  const comment = format === 'latex' ? '% ' : '';
  const lines = [title, ...notes].map(
    (line) => `${comment}${format === 'markdown' ? markdownText(line) : visible(line)}`,
  );
  return [lines[0], ...(format === 'markdown' ? [''] : []), ...parts, ...lines.slice(1)].join('\n');
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(markdownText).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function latexTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `${cells.map(latexText).join(' & ')} \\\\`;
  const columns = `l${'r'.repeat(head.length - 1)}`;
  return [
    `\\begin{tabular}{${columns}}`,
    '\\hline',
    line(head),
    '\\hline',
    ...rows.map(line),
    '\\hline',
    '\\end{tabular}',
  ].join('\n');
}
