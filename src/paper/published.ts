import { fileURLToPath } from 'node:url';
import { parseCsv } from '../csv.js';
import { InputError, Problems } from '../errors.js';
import { decimalNumber } from '../json.js';
import { projectRoot } from '../project.js';
import type { PublishedRow } from '../report/rows.js';
import { namesIn, readTextIfThere } from '../store/files.js';
import { readText } from '../store/input.js';

const folder = new URL('results/published/', projectRoot);

/**
 * The published rows of a table, in its order, the original network last.
 *
 * @param name a file of `results/published` without its extension: `table1`
 * @throws InputError for an unknown table
 */
export async function readPublished(name: string): Promise<PublishedRow[]> {
  const text = await readTextIfThere(fileURLToPath(new URL(`${name}.csv`, folder)));
  if (text === undefined) {
    const files = (await namesIn(fileURLToPath(folder))).filter((file) => file !== 'claims.csv');
    const names = files.map((file) => file.replace(/\.csv$/, '')).sort();
    throw new InputError(`published: "${name}"; valid: ${names.join(', ')}`);
  }
  return parsePublished(text, `results/published/${name}.csv`);
}

/** @throws InputError if the text is not CSV, or a row has no model, accuracy or FLOPs */
export function parsePublished(text: string, where: string): PublishedRow[] {
  const problems = new Problems();
  const rows = parseCsv(text, where).map((record, i): PublishedRow => {
    const number = (column: string, unit: number): number | null => {
      const value = record[column];
      if (value === undefined || value === '') return null;
      const scaled = Number(((decimalNumber(value.trim()) ?? Number.NaN) * unit).toPrecision(12));
      if (!Number.isFinite(scaled)) problems.add(`${where}: row ${i + 1}: ${column} "${value}"; valid: a number`);
      return scaled;
    };
    for (const column of ['model', 'accuracy_percent', 'flops_g']) {
      if ((record[column] ?? '') === '') problems.add(`${where}: row ${i + 1}: ${column} is missing`);
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
  problems.throwIfAny();
  return rows;
}

/** How a measured quantity compares with the printed value. */
export const relations = ['at least', 'at most', 'about'] as const;

/** A claim of the paper: a row of `results/published/claims.csv`. */
export interface PrintedClaim {
  readonly id: string;
  readonly source: string;
  /** The paper's network. */
  readonly network: string;
  readonly statement: string;
  readonly printed: string;
  readonly quantity: string;
  /** What the measured quantity is compared with, in its unit; NaN if nothing can be. */
  readonly value: number;
  readonly relation: (typeof relations)[number];
  /** Half of the last printed digit, or what counts as equal: chosen before a run. */
  readonly margin: number;
  /** Row of the table that the claim restates, from 1; NaN if it restates none. */
  readonly tableRow: number;
}

let all: Promise<readonly PrintedClaim[]> | undefined;

/** All claims of the paper, in the order of their file. */
export function printedClaims(): Promise<readonly PrintedClaim[]> {
  all ??= readClaims();
  return all;
}

async function readClaims(): Promise<PrintedClaim[]> {
  const text = await readText(fileURLToPath(new URL('claims.csv', folder)));
  const number = (cell: string | undefined): number => (cell === undefined || cell === '' ? Number.NaN : Number(cell));
  return parseCsv(text, 'results/published/claims.csv').map((record) => ({
    id: record['id'] ?? '',
    source: record['source'] ?? '',
    network: record['network'] ?? '',
    statement: record['statement'] ?? '',
    printed: record['printed'] ?? '',
    quantity: record['quantity'] ?? '',
    value: number(record['value']),
    relation: (record['relation'] ?? '') as PrintedClaim['relation'],
    margin: number(record['margin']),
    tableRow: number(record['table_row']),
  }));
}
