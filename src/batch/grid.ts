import { join, relative } from 'node:path';
import { csvOf, parseCsv } from '../csv.js';
import { visible } from '../escape.js';
import type { PresetName } from '../experiment/rules.js';
import type { Experiment } from '../experiment/schema.js';
import { renderColumns } from '../report/findings.js';
import { renderCsv } from '../report/rows.js';
import { tableCells } from '../report/table.js';
import type { RunContext } from '../run/context.js';
import { openBasis, runFolder, runIdentity } from '../run/identity.js';
import type { RunDocument, RunRecord } from '../run/record.js';
import {
  canonicalJson,
  exists,
  readableJson,
  readSealed,
  sha256,
  writeFileAtomic,
  writeSealed,
} from '../store/files.js';

/** The result of one combination of a grid. */
export type CombinationResult = {
  /** Path and value of each setting that varies. */
  readonly settings: Readonly<Record<string, string>>;
} & (
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

/** One table of all finished combinations, the varying settings first; means and spread over several seeds. */
export function renderGrid(grid: Grid): string {
  const { title, experiment, preset, combinations } = grid;
  const done = doneOf(grid);
  const paths = pathsOf(grid);
  // The paper's rows belong to one of the combinations at most.
  const rows = done.flatMap(({ document }) => document.rows.map(({ published: _, ...row }) => row));
  const { head, lines } = tableCells(rows);
  const settings = done.flatMap(({ settings: own, document }) => document.rows.map(() => own));
  const cells = lines.map((line, i) => [...paths.map((path) => settings[i]![path] ?? ''), ...line.cells]);
  const seeds = done[0]?.document.seeds ?? [];
  return [
    visible(`${title} [${experiment}, preset ${preset}]: ${done.length} of ${combinations.length} combinations`),
    ...(done.length > 0 ? [renderColumns([...paths, ...head], cells)] : []),
    ...(seeds.length > 1 ? [`Means over seeds ${seeds.join(', ')}, and the lowest and highest accuracy of one`] : []),
    ...failures(grid),
  ].join('\n');
}

function failures({ combinations }: Grid): string[] {
  return combinations.flatMap((one) =>
    one.state === 'failed' ? [visible(`failed: ${labelOf(one.settings)}: ${one.problem}; log: ${one.log}`)] : [],
  );
}

export const labelOf = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([path, value]) => `${path}=${value}`)
    .join(', ');

const doneOf = ({ combinations }: Grid) => combinations.flatMap((one) => (one.state === 'done' ? [one] : []));

const pathsOf = ({ combinations }: Grid): string[] => [
  ...new Set(combinations.flatMap(({ settings }) => Object.keys(settings))),
];

/**
 * The merged table as CSV: the varying settings, then the columns of `table.csv`; empty if a combination has no such
 * column.
 */
function renderGridCsv(grid: Grid): string {
  const records = doneOf(grid).flatMap(({ settings, document }) => {
    const own = parseCsv(renderCsv(document.rows), 'table.csv');
    return own.map((record): Record<string, string> => ({ ...settings, ...record }));
  });
  const columns = [...new Set([...pathsOf(grid), ...records.flatMap((record) => Object.keys(record))])];
  return csvOf([columns, ...records.map((record) => columns.map((column) => record[column] ?? ''))]);
}

/** The folder of a grid, named by a hash of its definitions. */
export function gridFolder(grid: Pick<Grid, 'experiment' | 'preset'>, asked: unknown, resultsRoot: string): string {
  const key = sha256(canonicalJson(JSON.parse(readableJson(asked)))).slice(0, 8);
  return join(resultsRoot, grid.experiment, `${grid.preset}-grid-${key}`);
}

/** Writes the merged table: `grid.csv`, `grid.txt`, and `record.json` with the folder of every run. */
export async function writeGrid(grid: Grid, folder: string, resultsRoot: string): Promise<void> {
  await writeFileAtomic(join(folder, 'grid.csv'), renderGridCsv(grid));
  await writeFileAtomic(join(folder, 'grid.txt'), `${renderGrid(grid)}\n`);
  const record = {
    ...grid,
    combinations: grid.combinations.map((one) => {
      if (one.state === 'failed') return one;
      return { ...one, folders: one.folders.map((path) => relative(resultsRoot, path)) };
    }),
  };
  await writeSealed(join(folder, 'record.json'), record);
}

/** A finished run with all its files. */
interface FinishedRun {
  readonly folder: string;
  readonly document: RunDocument;
}

/**
 * The finished run of this code on these inputs, if its files are complete and its record unchanged. The record is
 * written last, after all other files. Reports why an existing record does not count.
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
