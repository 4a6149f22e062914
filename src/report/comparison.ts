import { csvOf } from '../csv.js';
import { latexText, markdownText, visible } from '../escape.js';
import { renderColumns } from './columns.js';

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
export function renderComparison(
  { title, tables, notes }: ComparisonTables,
  format: 'table' | 'markdown' | 'latex',
): string {
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

/** All tables as one CSV; the first column names the table of a row. */
export function renderComparisonCsv(
  columns: readonly string[],
  records: readonly (readonly (string | number | null)[])[],
): string {
  return csvOf([columns, ...records]);
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
