import { join, relative } from 'node:path';
import { type Comparison, compareRuns, openRun, type ResultDifference, readRecord, runOf } from '../batch/compare.js';
import { csvOf } from '../csv.js';
import { InputError } from '../errors.js';
import { latexText, markdownText, markupText, visible } from '../escape.js';
import { checkExperiment } from '../experiment/checks.js';
import { isPlain, type Plain } from '../experiment/rules.js';
import { paperExperiments } from '../paper/index.js';
import { cellText, heading, renderColumns } from '../report/findings.js';
import { plan } from '../run/plan.js';
import { runRecord } from '../run/record.js';
import { runExperiment } from '../run/run.js';
import { readableJson } from '../store/files.js';
import type { GlobalOptions } from './command.js';
import { openContext } from './context.js';

/** Comparisons of a run with others as CSV: one row per difference. */
export function comparisonCsv(comparisons: readonly Comparison[]): string {
  const columns = ['kind', 'item', 'quantity', 'a', 'b', 'difference', 'difference_low', 'difference_high'];
  const isOne = comparisons.length === 1;
  return csvOf([
    isOne ? columns : ['b_run', ...columns],
    ...comparisons.flatMap(({ b: run, basis, results }) =>
      [
        ...basis.map(({ path, a, b }) => ['definition', path, null, a, b, null, null, null]),
        ...results.map(({ row, quantity, a, b, difference, interval }) => {
          return ['result', row, quantity, a, b, difference, interval?.[0] ?? null, interval?.[1] ?? null];
        }),
      ].map((record) => (isOne ? record : [run, ...record])),
    ),
  ]);
}

/** Comparisons of a run, A, with others as tables. @param root folder of results, omitted from the names of runs */
export function comparisonText(comparisons: readonly Comparison[], root: string, format: TextFormat): string {
  const [first] = comparisons as [Comparison, ...Comparison[]];
  const isOne = comparisons.length === 1;
  const named = (folder: string): string => {
    const short = relative(root, folder);
    return short.startsWith('..') ? folder : short;
  };
  const letters = comparisons.map((_, i) => String.fromCharCode(66 + i));
  const tables = isOne ? tablesOf(first) : tablesOfSeveral(comparisons, letters);
  const { equalRows, intervals } = first;
  const alone = comparisons.flatMap(({ results }, i) =>
    (['a', 'b'] as const).flatMap((side): string[] => {
      const rows = results
        .filter((one) => !isInBoth(one) && one[side] !== null && one.quantity === 'accuracy_fraction')
        .map(({ row }) => row);
      const [has, hasNot] = side === 'a' ? ['A', letters[i]!] : [letters[i]!, 'A'];
      return rows.length === 0 ? [] : [`in ${has}, not in ${hasNot}: ${rows.join('; ')}`];
    }),
  );
  const notes = [
    ...(tables.every(({ rows }) => rows.length === 0) && alone.length === 0 ? ['nothing differs'] : []),
    ...alone,
    ...(comparisons.some((one) => one.basisUnknown)
      ? ['a run with table.csv alone: its definition, data and code are not known']
      : []),
    ...(isOne && equalRows > 0 ? [`${equalRows} row${equalRows > 1 ? 's' : ''} equal in everything`] : []),
    ...(isOne && intervals !== undefined ? [intervalNotes[intervals]] : []),
  ];
  const title = [`A: ${named(first.a)}`, ...comparisons.map(({ b }, i) => `${letters[i]}: ${named(b)}`)].join(', ');
  return renderComparison({ title, tables, notes }, format);
}

const intervalNotes = {
  paired: 'intervals: 95 % of the mean difference, seed by seed (Student)',
  independent: 'intervals: 95 % of the difference of means, seeds as independent samples (Welch)',
} as const;

/** Whether both runs have the row and the quantity. */
const isInBoth = ({ a, b }: ResultDifference): boolean => a !== null && b !== null;

function tablesOf({ basis, results, intervals }: Comparison): Table[] {
  const definitions = basis.map(({ path, a, b }) => [path, shown(a), shown(b)]);
  const found = results.filter(isInBoth).map((result) => {
    const cells = resultCells(result);
    return intervals === undefined ? cells.slice(0, -1) : cells;
  });
  const head = ['Row', 'Quantity', 'A', 'B', 'B - A', ...(intervals === undefined ? [] : ['95 % interval'])];
  return [
    { title: 'Definition, data and code', head: ['Definition', 'A', 'B'], rows: definitions },
    { title: 'Results', head, rows: found },
  ];
}

/** One column per run. A run without a difference shows A's value. */
function tablesOfSeveral(comparisons: readonly Comparison[], letters: readonly string[]): Table[] {
  const paths = [...new Set(comparisons.flatMap(({ basis }) => basis.map(({ path }) => path)))];
  const definitions = paths.map((path) => {
    const found = comparisons.map(({ basis }) => basis.find((one) => one.path === path));
    const ofA = found.find((one) => one !== undefined)!.a;
    return [path, shown(ofA), ...found.map((one) => shown(one === undefined ? ofA : one.b))];
  });
  const both = comparisons.map(({ results }) => {
    return new Map(results.filter(isInBoth).map((one) => [`${one.row}\n${one.quantity}`, resultCells(one)]));
  });
  const results = [...new Set(both.flatMap((cells) => [...cells.keys()]))].map((key) => {
    const found = both.map((cells) => cells.get(key));
    const [row, quantity, ofA] = found.find((one) => one !== undefined)!;
    const others = found.map((one) => (one === undefined ? ofA! : `${one[3]}${one[4] === '' ? '' : ` (${one[4]})`}`));
    return [row!, quantity!, ofA!, ...others];
  });
  return [
    { title: 'Definition, data and code', head: ['Definition', 'A', ...letters], rows: definitions },
    { title: 'Results (in brackets: less A)', head: ['Row', 'Quantity', 'A', ...letters], rows: results },
  ];
}

/** Row, quantity, a, b, difference, interval. */
function resultCells({ row, quantity, a, b, difference, interval }: ResultDifference): string[] {
  const cell = (value: number | null): string => (value === null ? MISSING : cellText(quantity, value));
  const signed = (value: number): string => `${value > 0 ? '+' : ''}${cellText(quantity, value)}`;
  const within = interval === null ? '' : `${signed(interval[0])} .. ${signed(interval[1])}`;
  return [row, heading(quantity), cell(a), cell(b), difference === null ? '' : signed(difference), within];
}

const MISSING = 'missing';

const shown = (value: number | string | null): string => {
  if (value === null) return MISSING;
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value.slice(0, 12) : String(value);
};

type TextFormat = 'table' | 'markdown' | 'latex' | 'html';

/** A table, cells as text. */
interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

interface ComparisonTables {
  readonly title: string;
  readonly tables: readonly Table[];
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

/** One table with its caption for a paper or a page. */
export function captioned(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  format: Exclude<TextFormat, 'table'>,
): string {
  if (format === 'latex') {
    const text = `\\caption{${latexText(caption)}}`;
    return ['\\begin{table}', '\\centering\\small', text, latexTable(head, rows), '\\end{table}'].join('\n');
  }
  if (format === 'markdown') {
    const line = (cells: readonly string[]): string => `| ${cells.map(markdownText).join(' | ')} |`;
    const lines = [line(head), line(head.map(() => '---')), ...rows.map(line)];
    return `**${markdownText(caption)}**\n\n${lines.join('\n')}\n`;
  }
  const line = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((cell) => `<${tag}>${markupText(cell)}</${tag}>`).join('')}</tr>`;
  const body = [line(head, 'th'), ...rows.map((row) => line(row, 'td'))];
  return `<table>\n<caption>${markupText(caption)}</caption>\n${body.join('\n')}\n</table>`;
}

function latexTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `${cells.map(latexText).join(' & ')} \\\\`;
  const begin = `\\begin{tabular}{l${'r'.repeat(head.length - 1)}}`;
  return [begin, '\\hline', line(head), '\\hline', ...rows.map(line), '\\hline', '\\end{tabular}'].join('\n');
}

/**
 * Runs the definitions of an earlier run again, seed after seed, and compares: A is the run on record, B the new results. The
 * folder of results stays unchanged. @throws InputError if this version does not accept a recorded definition
 */
export async function rerun(nameOrPath: string, options: GlobalOptions): Promise<Comparison> {
  const context = await openContext(options);
  const earlier = await openRun(nameOrPath, context.resultsRoot);
  const { runs } = await readRecord(join(earlier.folder, 'record.json'));
  const records = [];
  for (const folder of runs?.map((run) => join(earlier.folder, '..', '..', run)) ?? [earlier.folder]) {
    const path = join(folder, 'record.json');
    const { definition, preset = 'laptop', command = '', files = [], engine } = await readRecord(path);
    if (!isPlain(definition)) throw new InputError(`${folder}/record.json: no definition; valid: a run of dgate run`);
    const written = asWritten({ ...definition, ...(engine !== undefined && { engine }) });
    const { experiment, problems } = checkExperiment(written, paperExperiments);
    if (experiment === undefined) throw new InputError(problems.map((problem) => `${folder}/record.json: ${problem}`));
    await plan(experiment);
    const outcome = await runExperiment(context, experiment);
    records.push(JSON.parse(readableJson(runRecord(outcome, preset, command, files))));
  }
  return compareRuns(earlier, runOf('now', {}, records));
}

/** A resolved definition as in a file: poolings by name, closed gates as numbers. */
function asWritten(value: Plain): Plain {
  const undone = (item: unknown): unknown => {
    if (item === 'Infinity') return Number.POSITIVE_INFINITY;
    if (Array.isArray(item)) return item.map(undone);
    if (!isPlain(item)) return item;
    if (item['kind'] === 'gap' || item['kind'] === 'class-token') return item['kind'];
    if (item['kind'] === 'grid') return `${item['size']}x${item['size']}`;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [key, undone(inner)]));
  };
  return undone(value) as Plain;
}
