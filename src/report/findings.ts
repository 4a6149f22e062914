import Table from 'cli-table3';
import type { TopLevelSpec } from 'vega-lite';
import type { ImageShape, ImageSource } from '../data/dataset.js';
import { visible, visibleLines } from '../escape.js';
import { columnsLeft } from '../progress.js';

/** Results of an analysis besides the table of thresholds. The analyses compute them; the report writes them to files. */
export interface Findings {
  readonly tables: readonly FindingTable[];
  readonly figures: readonly Figure[];
  readonly sheets: readonly ImageSheet[];
}

export type FindingCell = string | number | null;

/** Written to `<name>.csv` and as a table to `report.html`. */
export interface FindingTable {
  /** File name without extension. */
  readonly name: string;
  readonly title: string;
  /** Column names with units: `accuracy_fraction`, `flops_per_image`. */
  readonly columns: readonly string[];
  /** Full precision; null for values that were not measured. */
  readonly rows: readonly (readonly FindingCell[])[];
  /** Rows printed on the console at most; without it, a line names the file. */
  readonly consoleRows?: number;
  /** How to read its cells, in a line under the table. */
  readonly legend?: string;
}

/** Written to `<name>.svg`. */
export interface Figure {
  /** File name without extension: letters, digits and dashes, unique in the run. */
  readonly name: string;
  readonly title: string;
  /** What is plotted, the number of images, and the seeds. */
  readonly caption: string;
  /** Vega-Lite with inline data. Lines also differ in `strokeDash`, points in `shape`; axis titles name the unit. */
  readonly spec: TopLevelSpec;
}

export interface Picture extends ImageShape {
  /** [channels, height, width], bytes 0-255, RGB or grey */
  readonly pixels: Uint8Array;
}

/** Images of a source. @param positions of the images */
export async function picturesOf(source: ImageSource, positions: readonly number[]): Promise<Picture[]> {
  const { channels, height, width } = source;
  const size = channels * height * width;
  const all = await source.batch(positions);
  return positions.map((_, i) => ({ channels, height, width, pixels: all.subarray(i * size, (i + 1) * size) }));
}

/** Written to `<name>.png`: rows of images with captions. */
export interface ImageSheet {
  readonly name: string;
  readonly title: string;
  readonly caption: string;
  readonly rows: readonly {
    readonly label: string;
    readonly images: readonly (Picture & {
      readonly caption: string;
      /** Colour and sign of the caption. */
      readonly tone: 'right' | 'wrong' | 'plain';
    })[];
  }[];
}

export type Verdict = 'holds' | 'does not hold' | 'undecided' | 'cannot be checked here';

/** A claim of the paper and its verdict: one row in the `README.md` of all results. */
export interface Claim {
  /** Letters, digits and dashes, unique in the experiment. */
  readonly id: string;
  /** Place in the paper: `Table 1`, `section 3.1`. */
  readonly source: string;
  /** One line, without the number. */
  readonly statement: string;
  /** The value as printed: `44 % fewer FLOPs at 1.7 points`. */
  readonly printed: string;
  /** The condition of the verdict: `at least 55.77 % FLOPs saved`. */
  readonly rule: string;
  /** The measured value, with its interval if there is one. */
  readonly measured: string;
  readonly verdict: Verdict;
  /** One line: the likely cause if it does not hold or is undecided. */
  readonly why?: string;
  /** Upper bound of the probability that a decided verdict is wrong by chance; otherwise 0. */
  readonly chance: number;
  /** CSV file and row of the measured value. */
  readonly trace: { readonly file: string; readonly row: string };
}

/** Headings of the columns that a narrow terminal drops first, in this order; after these, the rightmost go. */
const droppedFirst = [/^efficiency/i, /^speed/i, /\b(?:low|high)\b|interval/i, /^row$/, /^exits/i, /^FLOPs\s\(G\)/];
/** At least this many columns are shown; if they are still too wide, the first one is cut. */
const FEWEST = 5;

/** Chooses the columns to show: those with content that fit the terminal. */
function columnsWithin(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: (column: number) => number,
) {
  const shown = head.map((_, i) => i).filter((i) => i === 0 || rows.length === 0 || rows.some((row) => row[i] !== ''));
  const dropped: number[] = [];
  const total = (): number => shown.reduce((sum, i) => sum + width(i) + 3, 1);
  while (total() > columnsLeft()) {
    const kind = droppedFirst.find((pattern) => shown.some((i) => i > 0 && pattern.test(head[i]!)));
    if (kind === undefined && shown.length <= FEWEST) break;
    const position = kind === undefined ? shown.length - 1 : shown.findLastIndex((i) => i > 0 && kind.test(head[i]!));
    dropped.unshift(...shown.splice(position, 1));
  }
  return { shown, dropped, cut: Math.max(0, total() - columnsLeft()) };
}

/** A console table with escaped cells. The first column is aligned left, the others right by default. */
export function renderColumns(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: 'numbers' | 'text' = 'numbers',
): string {
  const names = head.map(visibleLines);
  const cells = rows.map((row) => row.map(visible));
  const widths = names.map((name, i) =>
    [...name.split('\n'), ...cells.map((row) => row[i] ?? '')].reduce(
      (most, line) => Math.max(most, [...line].length),
      0,
    ),
  );
  const width = (i: number): number => widths[i]!;
  const { shown, dropped, cut } = columnsWithin(names, cells, width);
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
  const without = dropped.map((i) => names[i]!.replaceAll('\n', ' ')).join(', ');
  return `${table.toString()}${dropped.length === 0 ? '' : `\nNot shown in ${columnsLeft()} columns: ${without}; --wide shows all`}`;
}

/** FLOPs in G; small networks with three digits: 5.02, 0.0812. */
export function gigaFlops(flops: number): string {
  const giga = flops / 1e9;
  return giga >= 1 ? giga.toFixed(2) : giga.toPrecision(3);
}

/** Units on the console and in pages; files have plain numbers. */
const formats: readonly (readonly [suffix: string, unit: string, show: (value: number) => string])[] = [
  ['_fraction', '%', (value) => (100 * value).toFixed(2)],
  ['_flops_per_image', 'G', gigaFlops],
  ['_ms', 'ms', (value) => value.toPrecision(4)],
  ['_images', 'images', plainNumber],
  ['_seconds', 's', (value) => value.toPrecision(4)],
];

const formatOf = (column: string) =>
  formats.find(([suffix]) => column !== 'images' && `_${column}`.endsWith(suffix)) ?? [];

/** `accuracy_fraction` as `accuracy (%)`, `flops_per_image` as `FLOPs per image (G)`. */
export function heading(column: string): string {
  const [suffix, unit] = formatOf(column);
  const name = suffix === undefined || unit === 'G' ? column : column.slice(0, -suffix.length);
  const words = name
    .replaceAll('_', ' ')
    .trim()
    .replaceAll(/\bflops\b/g, 'FLOPs');
  return unit === undefined ? words : `${words || 'share'} (${unit})`;
}

/** A cell as text for a page or the console. */
export function cellText(column: string, cell: FindingCell): string {
  if (cell === null) return '';
  if (typeof cell === 'string') return cell;
  const [, , show = plainNumber] = formatOf(column);
  return Number.isFinite(cell) ? show(cell) : String(cell);
}

/** Whole numbers with separators, others with four digits. */
function plainNumber(value: number): string {
  if (Number.isInteger(value)) return value.toLocaleString('en');
  const text = value.toPrecision(4);
  return text.includes('e') ? text : String(Number(text));
}

/** Headings and the first rows of a finding as text. @param most number of rows */
export function findingCells({ columns, rows }: FindingTable, most: number): { head: string[]; lines: string[][] } {
  return {
    head: columns.map(heading),
    lines: rows.slice(0, most).map((row) => row.map((cell, i) => cellText(columns[i]!, cell))),
  };
}
