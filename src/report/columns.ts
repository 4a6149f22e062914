import Table from 'cli-table3';
import { visible, visibleLines } from '../escape.js';

/** A console table with cells escaped; the first column is aligned left, the others right by default. */
export function renderColumns(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: 'numbers' | 'text' = 'numbers',
): string {
  const table = new Table({
    head: head.map(visibleLines),
    colAligns: head.map((_, i) => (i === 0 || align === 'text' ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => row.map(visible)));
  return table.toString();
}
