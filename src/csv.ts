import { stringify } from 'csv-stringify/sync';
import { csvCell } from './escape.js';

/** Records as CSV, the first one the names of the columns. Numbers stay as they are; text is safe in a spreadsheet. */
export function csvOf(records: Iterable<readonly unknown[]>): string {
  return stringify(Array.from(records, (record) => record.map(csvCell)));
}
