import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';

// A number:  <!--= FILE | column=value,... | COLUMN FORMAT -->44.15<!--/-->
//            Of several columns, or with text: {COLUMN FORMAT} s, {COLUMN}. Several rows are one where they say the same.
//            Of many rows: count(), mean(COLUMN), min(COLUMN), max(COLUMN).
// A table:   <!-- table FILE | column=value,... or all | Heading: COLUMN FORMAT; ... -->
//            ...
//            <!-- /table -->
//            A cell of several columns: Heading: {COLUMN FORMAT} [{COLUMN FORMAT}, {COLUMN FORMAT}].
//            A fourth part `by COLUMN: CELL` gives each value of COLUMN a column; rows are those that the headings tell apart.
// FILE is a CSV file below results/, `*` for the hash of a run. FORMAT: %.2 (a fraction as percent, 2 digits), .2, G.3 (10^9),
// M.1 (10^6), ~3 (3 significant digits), `,` (thousands), or nothing: as it stands. Besides `=` there is `!=`. Of a table, several conditions with ` or ` between them are several rows in that order.

export const root = fileURLToPath(new URL('..', import.meta.url));
export const read = (path: string): string => readFileSync(join(root, path), 'utf8');
export const escaped = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ').trim();

type Row = Readonly<Record<string, string>>;
const tables = new Map<string, readonly Row[]>();

const matches = (file: string, path: string): boolean => {
  const [before = '', after = ''] = file.split('*');
  return path.startsWith(before) && path.endsWith(after) && !path.slice(before.length, -after.length).includes('/');
};

/** The rows of a CSV file below results/. @throws Error where not exactly one file has this name */
export function rowsOf(file: string): readonly Row[] {
  const found = readdirSync(join(root, 'results'), { recursive: true, encoding: 'utf8' })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path === file || (file.includes('*') && matches(file, path)))
    .map((path) => `results/${path}`);
  if (found.length !== 1) throw new Error(`results/${file}: ${found.length} files; 1 is wanted`);
  const known = tables.get(file);
  if (known !== undefined) return known;
  const rows = parse(read(found[0]!), { columns: true }) as Row[];
  tables.set(file, rows);
  return rows;
}

/** Rows where each column of `a=b,c!=d` has, or has not, its value. */
function matching(file: string, where: string): readonly Row[] {
  const conditions = where === 'all' ? [] : where.split(/,(?=\w+!?=)/).map((one) => one.trim().split(/(!?=)(.*)/s));
  const rows = rowsOf(file);
  for (const [column] of conditions) {
    if (rows.length > 0 && rows[0]![column!] === undefined) throw new Error(`results/${file}: no column ${column}`);
  }
  return rows.filter((row) =>
    conditions.every(([column, relation, value]) => (row[column!] === value) === (relation === '=')),
  );
}

/** A number with so many significant digits, thousands divided by commas. */
export const significant = (value: number, digits: number): string =>
  Number(value.toPrecision(digits)).toLocaleString('en', {
    maximumFractionDigits: 20,
    minimumFractionDigits: value === 0 ? 0 : Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value)))),
  });

function format(file: string, row: Row, column: string, form: string): string {
  const value = row[column];
  if (value === undefined) throw new Error(`results/${file}: no column ${column}`);
  if (form === '' || value === '') return value;
  const parts = /^(%|G|M|k|m)?(\.|~)(\d)$/.exec(form);
  if (parts === null && form !== ',') throw new Error(`${form}: not a format; %.2, G.3, M.1, .2, ~3 or ,`);
  const scale = { '%': 100, G: 1e-9, M: 1e-6, k: 1e-3, m: 1e3 }[parts?.[1] ?? ''] ?? 1;
  const number = Number(value) * scale;
  if (!Number.isFinite(number)) throw new Error(`results/${file}: ${column} is ${value}, not a number`);
  if (parts === null) return number.toLocaleString('en');
  if (parts[2] === '~') return significant(number, Number(parts[3]));
  return number.toFixed(Number(parts[3])).replace(/^-(0(?:\.0+)?)$/, '$1');
}

/** `COLUMN FORMAT`, or a text with such in braces. */
const asCell = (text: string): string => (text.includes('{') ? text : `{${text}}`);

function cellOf(file: string, row: Row, cell: string): string {
  let isEmpty = false;
  const text = cell.replaceAll(/\{([^}]*)\}/g, (_, inside: string) => {
    const [column = '', form = ''] = inside.split(' ');
    const value = format(file, row, column, form);
    isEmpty ||= value === '';
    return value;
  });
  return isEmpty ? '' : text; // where a number is missing, its unit is too
}

/** A table in Markdown, columns of numbers to the right. */
export function tableOf(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  isRight: readonly boolean[],
): string {
  return [headings, isRight.map((right) => (right ? '---:' : '---')), ...rows.map((row) => row.map(escaped))]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n');
}

/** Several rows as one: `mean(a)`, `min(a)`, `max(a)` and `count()` in a cell become columns of it. */
function summaryOf(rows: readonly Row[], cell: string): Row {
  const columns = [...cell.matchAll(/\b(mean|min|max|count)\((\w*)\)/g)].map(([name, of, column]) => {
    const values = rows.map((row) => Number(row[column!]));
    const sum = values.reduce((total, value) => total + value, 0);
    const all = { mean: sum / rows.length, min: Math.min(...values), max: Math.max(...values), count: rows.length };
    return [name, String(all[of as keyof typeof all])];
  });
  return Object.fromEntries(columns) as Row;
}

function number(source: string): string {
  const [file = '', where = '', ...parts] = source.split(' | ').map((part) => part.trim());
  const rows = matching(file, where);
  if (rows.length === 0) throw new Error(`results/${file}: no row with ${where}`);
  const cell = asCell(parts.join(' ').trim());
  const isSummary = /\b(?:mean|min|max|count)\(/.test(cell);
  const texts = new Set((isSummary ? [summaryOf(rows, cell)] : rows).map((row) => cellOf(file, row, cell)));
  if (texts.size !== 1) throw new Error(`results/${file}: ${texts.size} values with ${where}; 1 is wanted`);
  return [...texts][0]!;
}

const headed = (text: string): { heading: string; cell: string } => {
  const [heading = '', cell = ''] = text.trim().split(/: (.*)/s);
  return { heading, cell: asCell(cell) };
};
const isNumber = (cell: string): boolean => /(?:[.~]\d|,)\}/.test(cell);

function table(source: string): string {
  const [file = '', where = '', columns = '', by] = source.split(' | ').map((part) => part.trim());
  const rows = where.split(' or ').flatMap((one) => {
    const found = matching(file, one);
    if (found.length === 0) throw new Error(`results/${file}: no row with ${one}`);
    return found;
  });
  const shown = columns.split('; ').map(headed);
  const headings = shown.map(({ heading }) => heading);
  const right = shown.map(({ cell }) => isNumber(cell));
  const start = (row: Row): string[] => shown.map(({ cell }) => cellOf(file, row, cell));
  if (by === undefined) return tableOf(headings, rows.map(start), right);
  const { heading: column, cell } = headed(by.replace(/^by /, ''));
  const across = [...new Set(rows.map((row) => row[column]!))];
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = JSON.stringify(start(row));
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const lines = [...groups.values()].map((group) => [
    ...start(group[0]!),
    ...across.map((value) => {
      const row = group.find((one) => one[column] === value);
      return row === undefined ? '' : cellOf(file, row, cell);
    }),
  ]);
  return tableOf([...headings, ...across], lines, [...right, ...across.map(() => isNumber(cell))]);
}

/** A page with its numbers and tables as the files have them. */
export function withNumbers(page: string, text: string): string {
  const fill = (what: (source: string) => string, source: string): string => {
    try {
      return what(source);
    } catch (error) {
      throw new Error(`${page}: ${(error as Error).message}`);
    }
  };
  const first = /^[ >*-]*<!--= [^>]*/m.exec(text); // Markdown takes such a line for HTML, to its end
  if (first !== null) throw new Error(`${page}: ${first[0]}: stands first in its line; put a word before it`);
  return text
    .replaceAll(
      /<!--= ([^>]*?) -->([^<]*)<!--\/-->/g,
      (_, source: string) => `<!--= ${source} -->${fill(number, source)}<!--/-->`,
    )
    .replaceAll(
      /<!-- table ([^>]*?) -->\n.*?<!-- \/table -->/gs,
      (_, source: string) => `<!-- table ${source} -->\n${fill(table, source)}\n<!-- /table -->`,
    );
}
