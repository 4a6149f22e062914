import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { InputError, messageOf } from './errors.js';
import { csvCell } from './escape.js';
import { Budget } from './json.js';

/** Records as CSV, the first one the names of the columns. Numbers stay as they are; text is safe in a spreadsheet. */
export function csvOf(records: Iterable<readonly unknown[]>): string {
  return stringify(Array.from(records, (record) => record.map(csvCell)));
}

/** A column of a table of `T`: its name, and its cell of an item. */
export type Column<T, Cell> = readonly [name: string, of: (item: T) => Cell];

/** Items as a table. */
export function tabulate<T, Cell>(items: readonly T[], columns: readonly Column<T, Cell>[]) {
  return { columns: columns.map(([name]) => name), rows: items.map((item) => columns.map(([, of]) => of(item))) };
}

/**
 * Records of CSV of others by the names of its columns.
 *
 * @param where what the messages call the text
 * @throws InputError where it is no CSV, or holds more cells than a text of its length should
 */
export function parseCsv(text: string, where: string): Readonly<Record<string, string>>[] {
  const budget = new Budget(where, text.length, 'fewer rows');
  const counted = (record: Record<string, string>): Record<string, string> => {
    budget.steps(10 * (1 + Object.keys(record).length)); // about what a cell takes
    return record;
  };
  try {
    return parse(text, { columns: true, on_record: counted });
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`${where}: not CSV: ${messageOf(error)}`);
  }
}
