import { join, relative } from 'node:path';
import { csvOf, parseCsv } from '../csv.js';
import { visible } from '../escape.js';
import type { PresetName } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { renderColumns } from '../report/findings.js';
import { areasOf, type RowIntervals, type RowSpread, renderCsv, type Spread, type TableRow } from '../report/rows.js';
import { renderTable, tableCells } from '../report/table.js';
import type { RunContext } from '../run/context.js';
import { promisedTogether } from '../run/facts.js';
import { openBasis, type RunDocument, type RunRecord, runFolder, runIdentity } from '../run/record.js';
import { mean, variance } from '../statistics/intervals.js';
import {
  canonicalJson,
  exists,
  readableJson,
  readSealed,
  sha256,
  writeFileAtomic,
  writeSealed,
} from '../store/files.js';

/** One definition per seed of the experiment. */
export function perSeed(experiment: Experiment): Experiment[] {
  const { seeds, ...alone } = experiment;
  return [...new Set(seeds ?? [experiment.seed])].map((seed) => ({ ...alone, seed }));
}

const measures = ['accuracy', 'accuracyDrop', 'flops', 'flopsReduction'] as const;

/** Merges the rows of several seeds, each in the same order: means, spreads, and intervals that cover those of all seeds. */
export function mergeRows(tables: readonly (readonly TableRow[])[]): TableRow[] {
  const [first = []] = tables;
  if (tables.some((rows) => rows.length !== first.length)) throw new Error('seeds with different rows');
  if (tables.length < 2) return [...first];
  return first.map((_, index) => mergeRow(tables.map((rows) => rows[index]!)));
}

function mergeRow(rows: readonly TableRow[]): TableRow {
  const { chosenAgain: _, ...first } = rows[0]!; // belongs to one seed
  // Accuracies are null without labels.
  const means = [...measures, 'disagreement' as const, 'worstClassDrop' as const].map((key) => {
    return [key, first[key] === null ? null : mean(rows.map((row) => row[key]!))] as const;
  });
  const thresholds = rows.flatMap((row) => row.thresholds);
  const isSameModel = rows.every(({ model }) => model === first.model);
  const parts = rows.flatMap(({ guarantee }) => guarantee?.parts ?? []);
  return {
    ...first,
    ...Object.fromEntries(means),
    model: isSameModel ? first.model : rangeName(first.model.split('(')[0]!, thresholds),
    thresholds,
    guarantee: first.guarantee && { ...first.guarantee, parts },
    speedMs: null, // times belong to the gates of one seed
    speedUp: null,
    efficiency: null,
    exits: first.exits.map((_, exit) => mean(rows.map((row) => row.exits[exit]!))),
    intervals: hull(rows),
    seeds: rows.flatMap(({ seeds }) => seeds),
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
  const { claims: _, areas: __, ...first } = documents[0]!; // claims are judged for one seed, in its own folder
  const rows = mergeRows(documents.map((document) => document.rows));
  const areas = areasOf(rows);
  const seeds = documents.flatMap((document) => document.seeds);
  return { ...first, seeds, rows, ...(areas.length > 0 && { areas }) };
}

/** The console report of several seeds. */
export function renderSeeds({ experiment, preset, seeds, rows, engine }: RunDocument, title: string): string {
  const ends = rows[0]?.accuracy === null ? '' : ', with the lowest and highest accuracy';
  const promised = rows.flatMap(({ guarantee }) => (guarantee?.method === 'conformal' ? [] : (guarantee ?? [])));
  return [
    visible(`${title} [${experiment}, preset ${preset}, seeds ${seeds.join(', ')}]`),
    renderTable(rows),
    `Means over ${seeds.length} seeds${ends}; ± half the range that covers all their 95 % intervals`,
    ...promised.map(({ parts, confidence }) => {
      return `Promises    one for each seed and fold: ${promisedTogether(parts.length, 'of them', confidence)}, and so the best of them`;
    }),
    `Engine      ${engine}`,
  ].join('\n');
}

/** Writes the table of several seeds and `record.json`, which names their folders. @returns the folder */
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

/** Path and value of each setting that differs between the combinations of a grid. */
type Settings = Readonly<Record<string, string>>;

export interface PlannedCombination {
  readonly settings: Settings;
  readonly experiment: Experiment;
}

export type CombinationResult = { readonly settings: Settings } & (
  | { readonly state: 'done'; readonly document: RunDocument; readonly folders: readonly string[] }
  | { readonly state: 'failed'; readonly problem: string; readonly log: string }
);

export interface Grid {
  readonly experiment: string;
  readonly title: string;
  readonly preset: PresetName;
  readonly command: string;
  readonly combinations: readonly CombinationResult[];
}

/** The result of a combination whose seeds are all finished. */
export function combined(settings: Settings, runs: readonly FinishedRun[]): CombinationResult & { state: 'done' } {
  const document = mergeDocuments(runs.map((run) => run.document));
  return { settings, state: 'done', document, folders: runs.map(({ folder }) => folder) };
}

/** One table of all finished combinations, the varying settings first; means and spread over several seeds. */
export function renderGrid(grid: Grid): string {
  const { title, experiment, preset, combinations } = grid;
  const { done, paths } = finishedIn(grid);
  // The paper's rows describe at most one of the combinations.
  const rows = done.flatMap(({ document }) => document.rows.map(({ published: _, ...row }) => row));
  const { head, lines } = tableCells(rows);
  const settings = done.flatMap(({ settings: own, document }) => document.rows.map(() => own));
  const cells = lines.map((line, i) => [...paths.map((path) => settings[i]![path] ?? ''), ...line.cells]);
  const seeds = done[0]?.document.seeds ?? [];
  return [
    visible(`${title} [${experiment}, preset ${preset}]: ${done.length} of ${combinations.length} combinations`),
    ...(done.length > 0 ? [renderColumns([...paths, ...head], cells)] : []),
    ...(seeds.length > 1 ? [`Means over seeds ${seeds.join(', ')}, with the lowest and highest accuracy`] : []),
    ...combinations.flatMap((one) =>
      one.state === 'failed' ? [visible(`failed: ${labelOf(one.settings)}: ${one.problem}; log: ${one.log}`)] : [],
    ),
  ].join('\n');
}

/** `gates.loss=hinge, gates.epochs=5` */
export const labelOf = (settings: Settings): string =>
  Object.entries(settings)
    .map(([path, value]) => `${path}=${value}`)
    .join(', ');

function finishedIn({ combinations }: Grid) {
  const done = combinations.flatMap((one) => (one.state === 'done' ? [one] : []));
  return { done, paths: [...new Set(combinations.flatMap(({ settings }) => Object.keys(settings)))] };
}

/** The merged table as CSV: the varying settings, then the columns of `table.csv`. */
function renderGridCsv(grid: Grid): string {
  const { done, paths } = finishedIn(grid);
  const records = done.flatMap(({ settings, document }) => {
    const own = parseCsv(renderCsv(document.rows), 'table.csv');
    return own.map((record): Record<string, string> => ({ ...settings, ...record }));
  });
  const columns = [...new Set([...paths, ...records.flatMap((record) => Object.keys(record))])];
  return csvOf([columns, ...records.map((record) => columns.map((column) => record[column] ?? ''))]);
}

/** The folder of a grid, named by a hash of its definitions. */
export function gridFolder(grid: Pick<Grid, 'experiment' | 'preset'>, cells: unknown, resultsRoot: string): string {
  const key = sha256(canonicalJson(JSON.parse(readableJson(cells)))).slice(0, 8);
  return join(resultsRoot, grid.experiment, `${grid.preset}-grid-${key}`);
}

/** Writes the merged table: `grid.csv`, `grid.txt`, and `record.json` with the folder of every run. */
export async function writeGrid(grid: Grid, folder: string, resultsRoot: string): Promise<void> {
  await writeFileAtomic(join(folder, 'grid.csv'), renderGridCsv(grid));
  await writeFileAtomic(join(folder, 'grid.txt'), `${renderGrid(grid)}\n`);
  const combinations = grid.combinations.map((one) =>
    one.state === 'failed' ? one : { ...one, folders: one.folders.map((path) => relative(resultsRoot, path)) },
  );
  await writeSealed(join(folder, 'record.json'), { ...grid, combinations });
}

/** A run whose files are all written. */
export interface FinishedRun {
  readonly folder: string;
  readonly document: RunDocument;
}

/**
 * The finished run of this code on these inputs, if its files are complete and its record unchanged; otherwise undefined,
 * and progress reports why an existing record cannot be used. The record is the last file of a run.
 */
export async function finishedRun(
  context: RunContext,
  experiment: Experiment,
  preset: PresetName,
): Promise<FinishedRun | undefined> {
  const basis = await openBasis(context, experiment);
  const folder = runFolder(basis, preset, context.resultsRoot);
  const stored = await readSealed(join(folder, 'record.json'));
  if (stored === undefined) return undefined;
  if ('why' in stored) {
    context.progress.warn(`${stored.why}; the run is made again`);
    return undefined;
  }
  const record = stored.found as RunRecord;
  const { inputs, code } = runIdentity(basis);
  if (record.identity?.inputs !== inputs || record.identity.code !== code) {
    context.progress.note(`${folder}: made by other code or from other inputs; the run is made again`);
    return undefined;
  }
  for (const file of record.files) if (!(await exists(join(folder, file)))) return undefined;
  const { experiment: name, engine: id, seeds, splits, rows, claims } = record;
  return {
    folder,
    document: { experiment: name, preset, engine: id, seeds, splits, rows, ...(claims !== undefined && { claims }) },
  };
}
