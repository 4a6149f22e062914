import type { FindingCell, FindingTable } from './findings.js';
import { gigaFlops } from './table.js';

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
