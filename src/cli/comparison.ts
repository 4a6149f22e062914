import { relative } from 'node:path';
import type { Comparison, ResultDifference } from '../batch/compare.js';
import { csvOf } from '../csv.js';
import { latexText, markdownText, markupText, visible } from '../escape.js';
import { cellText, heading, renderColumns } from '../report/findings.js';

/** Comparisons of a run with others as CSV: one row for each difference. */
export function comparisonCsv(comparisons: readonly Comparison[]): string {
  const several = comparisons.length > 1;
  return csvOf([
    [
      ...(several ? ['b_run'] : []),
      'kind',
      'item',
      'quantity',
      'a',
      'b',
      'difference',
      'difference_low',
      'difference_high',
    ],
    ...comparisons.flatMap(({ b: run, basis, results }) =>
      [
        ...basis.map(({ path, a, b }) => ['definition', path, null, a, b, null, null, null]),
        ...results.map(({ row, quantity, a, b, difference, interval }) => {
          return ['result', row, quantity, a, b, difference, interval?.[0] ?? null, interval?.[1] ?? null];
        }),
      ].map((record) => [...(several ? [run] : []), ...record]),
    ),
  ]);
}

/** Comparisons of a run, A, with others as tables for people. @param root folder of results, left out of the names of runs */
export function comparisonText(comparisons: readonly Comparison[], root: string, format: TextFormat): string {
  const [first] = comparisons as [Comparison, ...Comparison[]];
  const named = (folder: string): string => {
    const short = relative(root, folder);
    return short.startsWith('..') ? folder : short;
  };
  const letters = comparisons.map((_, i) => String.fromCharCode(66 + i));
  const tables = comparisons.length === 1 ? tablesOf(first) : tablesOfSeveral(comparisons, letters);
  const notes = {
    paired: 'intervals: 95 % of the mean difference, seed by seed (Student)',
    independent: 'intervals: 95 % of the difference of means, seeds as independent samples (Welch)',
  };
  const { equalRows, intervals } = first;
  const alone = comparisons.flatMap(({ results }, i) =>
    (['a', 'b'] as const).flatMap((side): string[] => {
      const rows = results.filter(
        (one) => !isOfBoth(one) && one[side] !== null && one.quantity === 'accuracy_fraction',
      );
      const [has, hasNot] = side === 'a' ? ['A', letters[i]!] : [letters[i]!, 'A'];
      return rows.length === 0 ? [] : [`in ${has}, not in ${hasNot}: ${rows.map(({ row }) => row).join('; ')}`];
    }),
  );
  return renderComparison(
    {
      title: [`A: ${named(first.a)}`, ...comparisons.map(({ b }, i) => `${letters[i]}: ${named(b)}`)].join(', '),
      tables,
      notes: [
        ...(tables.every(({ rows }) => rows.length === 0) && alone.length === 0 ? ['nothing differs'] : []),
        ...alone,
        ...(comparisons.some((one) => one.basisUnknown)
          ? ['of a run with table.csv alone, what it rests on is not known']
          : []),
        ...(equalRows > 0 && comparisons.length === 1
          ? [`${equalRows} row${equalRows > 1 ? 's' : ''} equal in everything`]
          : []),
        ...(intervals === undefined || comparisons.length > 1 ? [] : [notes[intervals]]),
      ],
    },
    format,
  );
}

/** Whether it is of a row, and a quantity, that both have. */
const isOfBoth = ({ a, b }: ResultDifference): boolean => a !== null && b !== null;

function tablesOf({ basis, results, intervals }: Comparison) {
  return [
    {
      title: 'What they rest on',
      head: ['Definition', 'A', 'B'],
      rows: basis.map(({ path, a: one, b: two }) => [path, shown(one), shown(two)]),
    },
    {
      title: 'What came out',
      head: ['Row', 'Quantity', 'A', 'B', 'B - A', ...(intervals === undefined ? [] : ['95 % interval'])],
      rows: results.filter(isOfBoth).map((result) => resultCells(result, intervals !== undefined)),
    },
  ];
}

/** One column for each run; a run whose value is A's shows it too. */
function tablesOfSeveral(comparisons: readonly Comparison[], letters: readonly string[]) {
  const paths = [...new Set(comparisons.flatMap(({ basis }) => basis.map(({ path }) => path)))];
  const items = new Map(
    comparisons.flatMap(({ results }) =>
      results.filter(isOfBoth).map(({ row, quantity }) => [`${row}\n${quantity}`, { row, quantity }]),
    ),
  );
  return [
    {
      title: 'What they rest on',
      head: ['Definition', 'A', ...letters],
      rows: paths.map((path) => {
        const found = comparisons.map(({ basis }) => basis.find((one) => one.path === path));
        const ofA = found.find((one) => one !== undefined)!.a;
        return [path, shown(ofA), ...found.map((one) => shown(one === undefined ? ofA : one.b))];
      }),
    },
    {
      title: 'What came out (in brackets: less A)',
      head: ['Row', 'Quantity', 'A', ...letters],
      rows: [...items.values()].map(({ row, quantity }) => {
        const found = comparisons.map(({ results }) =>
          results.find((one) => one.row === row && one.quantity === quantity),
        );
        const cells = found.map((one) => one && resultCells(one, false));
        const ofA = cells.find((one) => one !== undefined)![2]!;
        const ofOthers = cells.map((one) =>
          one === undefined ? ofA : `${one[3]}${one[4] === '' ? '' : ` (${one[4]})`}`,
        );
        return [row, heading(quantity), ofA, ...ofOthers];
      }),
    },
  ];
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

type TextFormat = 'table' | 'markdown' | 'latex' | 'html';

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
    if (format === 'latex') return `% ${visible(about)}\n${latexTable(head, rows)}`;
    return captioned(about, head, rows, format);
  });
  const comment = format === 'latex' ? '% ' : '';
  const lines = [title, ...notes].map(
    (line) => `${comment}${format === 'markdown' ? markdownText(line) : visible(line)}`,
  );
  return [lines[0], ...(format === 'markdown' ? [''] : []), ...parts, ...lines.slice(1)].join('\n');
}

/** One table with its caption, to be taken into a paper or a page. */
export function captioned(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  format: Exclude<TextFormat, 'table'>,
): string {
  if (format === 'markdown') return `**${markdownText(caption)}**\n\n${markdownTable(head, rows)}\n`;
  if (format === 'latex') {
    const text = `\\caption{${latexText(caption)}}`;
    return ['\\begin{table}', '\\centering\\small', text, latexTable(head, rows), '\\end{table}'].join('\n');
  }
  const line = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${markupText(cell)}</${tag}>`).join('')}</tr>`;
  const body = [line(head, 'th'), ...rows.map((row) => line(row, 'td'))];
  return `<table>\n<caption>${markupText(caption)}</caption>\n${body.join('\n')}\n</table>`;
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
