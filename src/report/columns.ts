import Table from 'cli-table3';
import { visible, visibleLines } from '../escape.js';
import { columnsLeft } from '../progress.js';
import type { FindingCell, FindingTable } from './findings.js';

/** Headings of columns that a narrow terminal can do without, the first ones first; after these the last columns go. */
const spare = [/^efficiency/i, /^speed/i, /\b(?:low|high)\b|interval/i, /^row$/, /^exits/i, /^FLOPs\s\(G\)/];
/** So many of the others stay; the first one is cut where they are still too wide. */
const FEWEST = 5;

/** Positions of the columns that are shown: those with anything in them, as far as there is room. */
function columnsWithin(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: (column: number) => number,
) {
  const shown = head.map((_, i) => i).filter((i) => i === 0 || rows.length === 0 || rows.some((row) => row[i] !== ''));
  const left: number[] = [];
  const total = (): number => shown.reduce((sum, i) => sum + width(i) + 3, 1);
  while (total() > columnsLeft()) {
    const kind = spare.find((pattern) => shown.some((i) => i > 0 && pattern.test(head[i]!)));
    if (kind === undefined && shown.length <= FEWEST) break;
    const at = kind === undefined ? shown.length - 1 : shown.findLastIndex((i) => i > 0 && kind.test(head[i]!));
    left.unshift(...shown.splice(at, 1));
  }
  return { shown, left, cut: Math.max(0, total() - columnsLeft()) };
}

/** A console table with cells escaped; the first column is aligned left, the others right by default. */
export function renderColumns(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: 'numbers' | 'text' = 'numbers',
): string {
  const names = head.map(visibleLines);
  const cells = rows.map((row) => row.map(visible));
  const width = (i: number): number =>
    Math.max(...[...names[i]!.split('\n'), ...cells.map((row) => row[i] ?? '')].map((text) => [...text].length));
  const { shown, left, cut } = columnsWithin(names, cells, width);
  const first = (text: string): string => {
    const most = Math.max(8, width(0) - cut);
    return cut === 0 || text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  };
  const picked = (row: readonly string[]): string[] => shown.map((i) => (i === 0 ? first(row[i]!) : row[i]!));
  const table = new Table({
    head: picked(names),
    colAligns: shown.map((i) => (i === 0 || align === 'text' ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  table.push(...cells.map(picked));
  const without = left.map((i) => names[i]!.replaceAll('\n', ' ')).join(', ');
  return `${table.toString()}${left.length === 0 ? '' : `\nNot shown in ${columnsLeft()} columns: ${without}; --wide shows all`}`;
}

/** FLOPs in G, with more digits for small networks: the paper's 5.02, but 0.0812. */
export function gigaFlops(flops: number): string {
  const giga = flops / 1e9;
  return giga >= 1 ? giga.toFixed(2) : giga.toPrecision(3);
}

/** Format of a column on the console and in pages: shares as percent, FLOPs in G; files keep plain numbers. */
interface ColumnFormat {
  readonly suffix: string;
  readonly unit: string;
  readonly show: (value: number) => string;
}

const formats: readonly ColumnFormat[] = [
  { suffix: '_fraction', unit: '%', show: (value) => (100 * value).toFixed(2) },
  { suffix: '_flops_per_image', unit: 'G', show: gigaFlops },
  { suffix: '_ms', unit: 'ms', show: (value) => value.toPrecision(4) },
  { suffix: '_images', unit: 'images', show: plainNumber },
  { suffix: '_seconds', unit: 's', show: (value) => value.toPrecision(4) },
];

function formatOf(column: string): ColumnFormat | undefined {
  return formats.find(({ suffix }) => column !== 'images' && `_${column}`.endsWith(suffix));
}

/** `accuracy_fraction` as `accuracy (%)`, `flops_per_image` as `FLOPs per image (G)`. */
export function heading(column: string): string {
  const format = formatOf(column);
  const perImage = format?.suffix === '_flops_per_image';
  const name = format === undefined || perImage ? column : column.slice(0, -format.suffix.length);
  const words = name
    .replaceAll('_', ' ')
    .trim()
    .replaceAll(/\bflops\b/g, 'FLOPs');
  return format === undefined ? words : `${words === '' ? 'share' : words} (${format.unit})`;
}

/** A cell as text for a page or the console. */
export function cellText(column: string, cell: FindingCell): string {
  if (cell === null) return '';
  if (typeof cell === 'string') return cell;
  const format = formatOf(column);
  if (format !== undefined && Number.isFinite(cell)) return format.show(cell);
  return plainNumber(cell);
}

/** Whole numbers with separators, others with four digits. */
function plainNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return value.toLocaleString('en');
  const text = value.toPrecision(4);
  return text.includes('e') ? text : String(Number(text));
}

/** Headings and the first rows of a finding as text. */
export function findingCells({ columns, rows }: FindingTable, most: number): { head: string[]; lines: string[][] } {
  return {
    head: columns.map(heading),
    lines: rows.slice(0, most).map((row) => row.map((cell, i) => cellText(columns[i]!, cell))),
  };
}
