import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { InputError, messageOf } from './errors.js';
import { csvCell } from './escape.js';
import { Budget } from './json.js';

/** Records as CSV, the first one the names of the columns; text is safe in a spreadsheet. */
export function csvOf(records: Iterable<readonly unknown[]>): string {
  return stringify(Array.from(records, (record) => record.map(csvCell)));
}

/** A column of a table of `T`: its name, and the cell of an item. */
export type Column<T, Cell> = readonly [name: string, of: (item: T) => Cell];

export function tabulate<T, Cell>(items: readonly T[], columns: readonly Column<T, Cell>[]) {
  return { columns: columns.map(([name]) => name), rows: items.map((item) => columns.map(([, of]) => of(item))) };
}

/** The list of a key, which is put there if it has none. */
export function listAt<Key, Item>(lists: Map<Key, Item[]>, key: Key): Item[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}

/**
 * Parses CSV of any origin into records by the names of its columns.
 *
 * @param where name of the text, for messages
 * @throws InputError if it is no CSV, or holds too many cells for its length
 */
export function parseCsv(text: string, where: string): Readonly<Record<string, string>>[] {
  const budget = new Budget(where, text.length, 'fewer rows');
  const counted = (record: Record<string, string>): Record<string, string> => {
    budget.steps(10 * (1 + Object.keys(record).length)); // the cost of a cell
    return record;
  };
  try {
    return parse(text, { columns: true, on_record: counted });
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${where}: not CSV: ${messageOf(error)}`);
  }
}
