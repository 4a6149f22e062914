import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { InputError, messageOf } from '../errors.js';
import { decimalNumber } from '../numbers.js';
import { projectRoot } from '../project.js';
import type { PublishedRow } from '../report/rows.js';
import { readRegular } from '../store/input.js';

const folder = new URL('results/published/', projectRoot);

/**
 * The published rows of a table, in its order, the original network last.
 *
 * @param name a file of `results/published` without its extension: `table1`
 * @throws InputError for an unknown table
 */
export async function readPublished(name: string): Promise<PublishedRow[]> {
  const text = await readRegular(fileURLToPath(new URL(`${name}.csv`, folder))).catch(() => undefined);
  if (text === undefined) {
    const files = (await readdir(folder).catch(() => [])).filter((file) => file !== 'claims.csv');
    const names = files.map((file) => file.replace(/\.csv$/, '')).sort();
    throw new InputError(`published: "${name}"; valid: ${names.join(', ')}`);
  }
  return parsePublished(text.toString('utf8'), `results/published/${name}.csv`);
}

/** @throws InputError if the text is not CSV, or a row has no model, accuracy or FLOPs */
export function parsePublished(text: string, where: string): PublishedRow[] {
  let records: Record<string, string>[];
  try {
    records = parse(text, { columns: true });
  } catch (error) {
    throw new InputError(`${where}: not CSV: ${messageOf(error)}`);
  }
  const problems: string[] = [];
  const rows = records.map((record, i): PublishedRow => {
    const number = (column: string, unit: number): number | null => {
      const value = record[column];
      if (value === undefined || value === '') return null;
      const scaled = Number(((decimalNumber(value.trim()) ?? Number.NaN) * unit).toPrecision(12));
      if (!Number.isFinite(scaled)) problems.push(`${where}: row ${i + 1}: ${column} "${value}"; valid: a number`);
      return scaled;
    };
    for (const column of ['model', 'accuracy_percent', 'flops_g']) {
      if ((record[column] ?? '') === '') problems.push(`${where}: row ${i + 1}: ${column} is missing`);
    }
    return {
      model: record['model'] ?? '',
      accuracy: number('accuracy_percent', 0.01) ?? Number.NaN,
      flops: number('flops_g', 1e9) ?? Number.NaN,
      flopsReduction: number('flops_reduction_percent', 0.01),
      speedMs: number('speed_ms', 1),
      speedUp: number('speed_up_percent', 0.01),
    };
  });
  if (problems.length > 0) throw new InputError(problems);
  return rows;
}
