import { renderColumns } from './columns.js';
import type { PublishedRow } from './published.js';
import type { TableRow } from './rows.js';

const percent = (share: number | null, digits = 2): string =>
  share === null ? '' : `${(100 * share).toFixed(digits)}%`;

const milliseconds = (value: number | null): string => value?.toFixed(2) ?? '';

/** FLOPs in G with as many digits as keep two networks apart: the paper's 5.02, but 0.0812 for a small one. */
export function gigaFlops(flops: number): string {
  const giga = flops / 1e9;
  return giga >= 1 ? giga.toFixed(2) : giga.toPrecision(3);
}

/** Which columns a table needs besides the ones that every table has. */
interface Extent {
  readonly searched: boolean;
  readonly timed: boolean;
  readonly exits: number;
}

/** The console table: the paper's columns, then where images leave; under a row, what the paper printed for it. */
export function renderTable(rows: readonly TableRow[]): string {
  const extent: Extent = {
    searched: rows.some((row) => row.margin !== null),
    timed: rows.some((row) => row.speedMs !== null || row.published !== undefined),
    exits: rows[0]?.exits.length ?? 0,
  };
  const exitNames = Array.from({ length: extent.exits }, (_, i) => (i === extent.exits - 1 ? 'Last' : `Exit ${i + 1}`));
  const head = [
    'Model',
    ...(extent.searched ? ['Margin'] : []),
    'ACC.',
    'FLOPs (G)',
    'FLOPs Reduction',
    ...(extent.timed ? ['Speed (ms)', 'Speed-up'] : []),
    ...exitNames,
  ];
  const published = rows.find(isOriginal)?.published;
  return renderColumns(
    head,
    rows.flatMap((row) => {
      const own = ownCells(row, extent);
      return row.published === undefined ? [own] : [own, publishedCells(row.published, published, extent)];
    }),
  );
}

const isOriginal = (row: TableRow): boolean => row.thresholds.length === 0;

function ownCells(row: TableRow, { searched, timed }: Extent): string[] {
  return [
    row.model,
    ...(searched ? [percent(row.margin, 1)] : []),
    percent(row.accuracy),
    gigaFlops(row.flops),
    isOriginal(row) ? '' : percent(row.flopsReduction),
    ...(timed ? [milliseconds(row.speedMs), percent(row.speedUp)] : []),
    ...row.exits.map((share) => percent(share, 1)),
  ];
}

/** @param original the paper's original network, from whose accuracy the margin follows */
function publishedCells(row: PublishedRow, original: PublishedRow | undefined, extent: Extent): string[] {
  const margin = original === undefined || row === original ? null : original.accuracy - row.accuracy;
  return [
    `  paper: ${row.model}`,
    ...(extent.searched ? [percent(margin, 1)] : []),
    percent(row.accuracy),
    gigaFlops(row.flops),
    percent(row.flopsReduction),
    ...(extent.timed ? [milliseconds(row.speedMs), percent(row.speedUp)] : []),
    ...new Array<string>(extent.exits).fill(''),
  ];
}
