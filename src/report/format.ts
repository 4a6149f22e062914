import type { FindingCell, FindingTable } from './findings.js';
import { gigaFlops } from './table.js';

/** How a column of a finding is read: shares as percent, FLOPs in G; files keep the plain numbers. */
interface Reading {
  readonly suffix: string;
  readonly unit: string;
  readonly show: (value: number) => string;
}

const readings: readonly Reading[] = [
  { suffix: '_fraction', unit: '%', show: (value) => (100 * value).toFixed(2) },
  { suffix: '_flops_per_image', unit: 'G', show: gigaFlops },
  { suffix: '_ms', unit: 'ms', show: (value) => value.toPrecision(4) },
  { suffix: '_images', unit: 'images', show: plainNumber },
  { suffix: '_seconds', unit: 's', show: (value) => value.toPrecision(4) },
];

function readingOf(column: string): Reading | undefined {
  return readings.find(({ suffix }) => column !== 'images' && `_${column}`.endsWith(suffix));
}

/** `accuracy_fraction` as `accuracy (%)`, `flops_per_image` as `FLOPs per image (G)`. */
export function heading(column: string): string {
  const reading = readingOf(column);
  const perImage = reading?.suffix === '_flops_per_image';
  const name = reading === undefined || perImage ? column : column.slice(0, -reading.suffix.length);
  const words = name
    .replaceAll('_', ' ')
    .trim()
    .replaceAll(/\bflops\b/g, 'FLOPs');
  return reading === undefined ? words : `${words === '' ? 'share' : words} (${reading.unit})`;
}

/** A cell as it is read on a page or the console. */
export function cellText(column: string, cell: FindingCell): string {
  if (cell === null) return '';
  if (typeof cell === 'string') return cell;
  const reading = readingOf(column);
  if (reading !== undefined && Number.isFinite(cell)) return reading.show(cell);
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
