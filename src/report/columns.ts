import Table from 'cli-table3';

/** A console table; the first column stands left, the others right, unless told otherwise. */
export function renderColumns(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: 'numbers' | 'text' = 'numbers',
): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, i) => (i === 0 || align === 'text' ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}
