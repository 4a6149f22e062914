import Table from 'cli-table3';
import type { TableRow } from './rows.js';

const percent = (share: number, digits = 2): string => `${(100 * share).toFixed(digits)}%`;

/** FLOPs in G with as many digits as keep two networks apart: the paper's 5.02, but 0.0812 for a small one. */
export function gigaFlops(flops: number): string {
  const giga = flops / 1e9;
  return giga >= 1 ? giga.toFixed(2) : giga.toPrecision(3);
}

/** The console table: the paper's columns, then where images leave. */
export function renderTable(rows: readonly TableRow[]): string {
  const exits = rows[0]?.exits.length ?? 0;
  const exitNames = Array.from({ length: exits }, (_, i) => (i === exits - 1 ? 'Last' : `Exit ${i + 1}`));
  const searched = rows.some((row) => row.margin !== null);
  const timed = rows.some((row) => row.speedMs !== null);
  const head = [
    'Model',
    ...(searched ? ['Margin'] : []),
    'ACC.',
    'FLOPs (G)',
    'FLOPs Reduction',
    ...(timed ? ['Speed (ms)', 'Speed-up'] : []),
    ...exitNames,
  ];
  const table = new Table({
    head,
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    const original = row.thresholds.length === 0;
    table.push([
      row.model,
      ...(searched ? [row.margin === null ? '' : percent(row.margin, 1)] : []),
      percent(row.accuracy),
      gigaFlops(row.flops),
      original ? '' : percent(row.flopsReduction),
      ...(timed ? [row.speedMs?.toFixed(2) ?? '', row.speedUp === null ? '' : percent(row.speedUp)] : []),
      ...row.exits.map((share) => percent(share, 1)),
    ]);
  }
  return table.toString();
}
