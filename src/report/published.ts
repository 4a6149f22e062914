import { readdir, readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { InputError } from '../errors.js';
import { projectRoot } from '../project.js';

/** A row as the paper printed it, shares as fractions. */
export interface PublishedRow {
  readonly model: string;
  readonly accuracy: number;
  /** Average FLOPs per image. */
  readonly flops: number;
  readonly flopsReduction: number | null;
  readonly speedMs: number | null;
  readonly speedUp: number | null;
}

const folder = new URL('results/published/', projectRoot);

/**
 * The published rows of a table, in its order, the original network last.
 *
 * @param name a file of `results/published` without its extension: `table1`
 * @throws InputError where there is no such table
 */
export async function readPublished(name: string): Promise<PublishedRow[]> {
  const text = await readFile(new URL(`${name}.csv`, folder), 'utf8').catch(() => undefined);
  if (text === undefined) {
    const files = (await readdir(folder).catch(() => [])).filter((file) => file !== 'claims.csv');
    const names = files.map((file) => file.replace(/\.csv$/, '')).sort();
    throw new InputError(`published: "${name}"; valid: ${names.join(', ')}`);
  }
  const records = parse(text, { columns: true }) as Record<string, string>[];
  return records.map((record): PublishedRow => {
    const number = (column: string, unit: number): number | null => {
      const value = record[column];
      return value === undefined || value === '' ? null : Number((Number(value) * unit).toPrecision(12));
    };
    return {
      model: record['model'] ?? '',
      accuracy: number('accuracy_percent', 0.01) ?? Number.NaN,
      flops: number('flops_g', 1e9) ?? Number.NaN,
      flopsReduction: number('flops_reduction_percent', 0.01),
      speedMs: number('speed_ms', 1),
      speedUp: number('speed_up_percent', 0.01),
    };
  });
}
