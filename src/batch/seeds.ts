import { join } from 'node:path';
import { visible } from '../escape.js';
import type { Experiment } from '../experiment/schema.js';
import { areasOf, type RowIntervals, type RowSpread, renderCsv, type Spread, type TableRow } from '../report/rows.js';

import { renderTable } from '../report/table.js';
import type { RunDocument } from '../run/record.js';
import { variance } from '../statistics/samples.js';
import { canonicalJson, sha256, writeFileAtomic, writeSealed } from '../store/files.js';

/** The experiment once for each of its seeds, each as a definition with one seed. */
export function perSeed(experiment: Experiment): Experiment[] {
  const { seeds, ...alone } = experiment;
  return [...new Set(seeds ?? [experiment.seed])].map((seed) => ({ ...alone, seed }));
}

const measures = ['accuracy', 'accuracyDrop', 'flops', 'flopsReduction'] as const;

/**
 * The rows of one experiment run with several seeds as one table: means over the seeds, how the seeds differ, and
 * intervals that contain those of every seed (from the lowest lower end to the highest upper end).
 *
 * @param tables the rows of each seed, in the same order
 */
export function mergeRows(tables: readonly (readonly TableRow[])[]): TableRow[] {
  const [first = []] = tables;
  if (tables.some((rows) => rows.length !== first.length)) throw new Error('seeds with different rows');
  if (tables.length < 2) return [...first];
  return first.map((_, index) => mergeRow(tables.map((rows) => rows[index]!)));
}

function mergeRow(rows: readonly TableRow[]): TableRow {
  const { chosenAgain: _, ...first } = rows[0]!; // of one seed alone
  const mean = (of: (row: TableRow) => number): number => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  // Without labels these are not.
  const known = (key: 'accuracy' | 'accuracyDrop' | 'worstClassDrop') =>
    first[key] === null ? null : mean((row) => row[key]!);
  const thresholds = rows.flatMap((row) => row.thresholds);
  return {
    ...first,
    model: rows.every(({ model }) => model === first.model)
      ? first.model
      : rangeName(first.model.split('(')[0]!, thresholds),
    thresholds,
    guarantee: first.guarantee && {
      ...first.guarantee,
      parts: rows.flatMap(({ guarantee }) => guarantee?.parts ?? []),
    },
    accuracy: known('accuracy'),
    accuracyDrop: known('accuracyDrop'),
    flops: mean((row) => row.flops),
    flopsReduction: mean((row) => row.flopsReduction),
    speedMs: null, // times belong to the gates of one seed
    speedUp: null,
    efficiency: null,
    exits: first.exits.map((_, exit) => mean((row) => row.exits[exit]!)),
    intervals: hull(rows),
    seeds: rows.flatMap(({ seeds }) => seeds),
    disagreement: mean((row) => row.disagreement),
    worstClassDrop: known('worstClassDrop'),
    spread: Object.fromEntries(measures.map((key) => [key, spreadOf(rows.map((row) => row[key]))])) as {
      [K in keyof RowSpread]: Spread;
    },
  };
}

/** `dg(0.41..0.48, 1.80..1.92)`: the lowest and the highest threshold of each gate. */
function rangeName(system: string, thresholds: TableRow['thresholds']): string {
  const gates = thresholds[0]!.map((_, gate) => {
    const values = thresholds.map((part) => part[gate] ?? Number.POSITIVE_INFINITY);
    const shown = [Math.min(...values), Math.max(...values)].map((t) => (Number.isFinite(t) ? t.toFixed(2) : 'closed'));
    return [...new Set(shown)].join('..');
  });
  return `${system}(${gates.join(', ')})`;
}

function hull(rows: readonly TableRow[]): RowIntervals | null {
  const all = rows.flatMap(({ intervals }) => intervals ?? []);
  if (all.length < rows.length) return null;
  const ends = [...measures, 'disagreement' as const].flatMap((key) => {
    const given = all.map((intervals) => intervals[key]);
    if (given[0] === undefined) return [];
    const known = given.filter((interval) => interval != null);
    const [lows, highs] = [known.map(([low]) => low), known.map(([, high]) => high)];
    return [[key, known.length === 0 ? null : [Math.min(...lows), Math.max(...highs)]] as const];
  });
  return Object.fromEntries(ends) as unknown as RowIntervals;
}

function spreadOf(given: readonly (number | null)[]): Spread | null {
  const values = given.filter((value) => value !== null);
  if (values.length === 0) return null;
  return { lowest: Math.min(...values), highest: Math.max(...values), deviation: Math.sqrt(variance(values)) };
}

/** Merges the documents of several seeds. */
export function mergeDocuments(documents: readonly RunDocument[]): RunDocument {
  if (documents.length === 1) return documents[0]!;
  const { claims: _, areas: __, ...first } = documents[0]!; // a claim is judged for one seed, in its own folder
  const rows = mergeRows(documents.map((document) => document.rows));
  const areas = areasOf(rows);
  return {
    ...first,
    seeds: documents.flatMap(({ seeds }) => seeds),
    rows,
    ...(areas.length > 0 && { areas }),
  };
}

/** The console report of several seeds. */
export function renderSeeds(document: RunDocument, title: string): string {
  const { experiment, preset, seeds, rows, engine } = document;
  return [
    visible(`${title} [${experiment}, preset ${preset}, seeds ${seeds.join(', ')}]`),
    renderTable(rows),
    `Means over ${seeds.length} seeds${rows[0]?.accuracy === null ? '' : ', and the lowest and highest accuracy of one'}; ± half of what holds all their 95 % intervals`,
    `Engine      ${engine}`,
  ].join('\n');
}

/**
 * Writes the table of several seeds: `table.csv`, `table.txt`, `record.json`, which names the folders of the seeds.
 *
 * @returns the folder
 */
export async function writeSeeds(
  document: RunDocument,
  title: string,
  folders: readonly string[],
  resultsRoot: string,
): Promise<string> {
  const { experiment, preset } = document;
  const key = sha256(canonicalJson([...folders].map((folder) => folder.slice(resultsRoot.length)))).slice(0, 8);
  const folder = join(resultsRoot, experiment, `${preset}-seeds-${key}`);
  await writeFileAtomic(join(folder, 'table.csv'), renderCsv(document.rows));
  await writeFileAtomic(join(folder, 'table.txt'), `${renderSeeds(document, title)}\n`);
  const record = { ...document, runs: folders.map((path) => path.slice(resultsRoot.length + 1)) };
  await writeSealed(join(folder, 'record.json'), record);
  return folder;
}
