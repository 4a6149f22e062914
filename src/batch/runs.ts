import { join } from 'node:path';
import { tabulate } from '../csv.js';
import { InputError } from '../errors.js';
import type { Figure, FindingCell, FindingTable } from '../report/findings.js';
import type { TableRow } from '../report/rows.js';
import { flatten, readSealed } from '../store/files.js';
import { subfolders } from '../store/store.js';
import type { RecordedRun } from './compare.js';

/** A run in the folder of results, with its best row at a margin. */
export interface ListedRun {
  /** `<experiment>/<folder>`, below the folder of results. */
  readonly run: string;
  readonly experiment: string;
  readonly preset: string;
  /** Further options of its command line. */
  readonly given: string;
  readonly seeds: readonly number[];
  /** The searched row of fewest FLOPs within the margin; without one, the original network. */
  readonly best: TableRow;
  readonly date: string;
  /** Seconds of all stages; null for a table of several seeds. */
  readonly seconds: number | null;
  /** For filters: values of the definition by path, and `experiment`, `preset`, `engine`, `testImages` (their hash). */
  readonly values: ReadonlyMap<string, string>;
  readonly rows: readonly TableRow[];
}

/** Every run below a folder, newest first. @param margin the largest of `best`, a fraction @param warn gets changed records */
export async function listRuns(root: string, margin: number, warn: (message: string) => void): Promise<ListedRun[]> {
  const found: ListedRun[] = [];
  for (const experiment of await subfolders(root)) {
    for (const folder of await subfolders(join(root, experiment))) {
      const stored = await readSealed(join(root, experiment, folder, 'record.json'));
      if (stored === undefined) continue;
      if ('why' in stored) warn(`${stored.why}; left out`);
      else {
        const listed = listedRun(`${experiment}/${folder}`, stored.found as RecordedRun, margin);
        if (listed !== undefined) found.push(listed);
      }
    }
  }
  return found.sort((a, b) => b.date.localeCompare(a.date) || a.run.localeCompare(b.run));
}

function listedRun(run: string, record: RecordedRun, margin: number): ListedRun | undefined {
  const { rows = [], experiment = run.split('/')[0]!, preset = 'laptop', engine = '', command = '' } = record;
  const best = bestRow(rows, margin);
  if (best === undefined) return undefined;
  const values = new Map(
    flatten(JSON.parse(JSON.stringify(record.definition ?? {}))).map(([path, value]) => [path, `${value}`]),
  );
  const testImages = record.images?.['test'] ?? '';
  for (const [name, value] of Object.entries({ experiment, preset, engine, testImages })) values.set(name, value);
  const seconds =
    record.seconds === undefined ? null : Object.values(record.seconds).reduce((sum, one) => sum + one, 0);
  return {
    run,
    experiment,
    preset,
    given: command.replace(/^dgate run \S+| --preset \S+/g, '').trim(),
    seeds: record.seeds ?? [],
    best,
    date: record.date ?? '',
    seconds,
    values,
    rows,
  };
}

function bestRow(rows: readonly TableRow[], margin: number): TableRow | undefined {
  const within = rows.filter((row) => row.margin !== null && row.margin <= margin);
  const [cheapest] = within.sort((a, b) => a.flops - b.flops);
  return cheapest ?? rows.find((row) => row.model === 'Original');
}

/** The orders of `--sort`: newest, most accurate, cheapest or fastest first, or by name. */
export const runOrders = {
  date: (a: ListedRun, b: ListedRun) => b.date.localeCompare(a.date),
  name: (a: ListedRun, b: ListedRun) => a.run.localeCompare(b.run),
  accuracy: (a: ListedRun, b: ListedRun) => (b.best.accuracy ?? 0) - (a.best.accuracy ?? 0),
  flops: (a: ListedRun, b: ListedRun) => a.best.flops - b.best.flops,
  seconds: (a: ListedRun, b: ListedRun) => (a.seconds ?? Infinity) - (b.seconds ?? Infinity),
} as const;

/** Runs with all these values, `path=value`. @throws InputError if a filter has another form, or no run has its path */
export function filterRuns(runs: readonly ListedRun[], filters: readonly string[]): ListedRun[] {
  const paths = new Set(runs.flatMap((run) => [...run.values.keys()]));
  const wanted = filters.map((filter) => {
    const [, path, value] = /^([^=]+)=(.*)$/s.exec(filter) ?? [];
    if (path === undefined) throw new InputError(`--filter ${filter}: not path=value; try --filter gates.loss=hinge`);
    if (runs.length > 0 && !paths.has(path)) {
      const valid = [...paths].sort().slice(0, 40).join(', ');
      throw new InputError(`--filter ${filter}: no run has ${path}; valid: ${valid}`);
    }
    return { path, value };
  });
  return runs.filter(({ values }) => wanted.every(({ path, value }) => values.get(path) === value));
}

/** The runs as a table, console and CSV alike. */
export function runsTable(runs: readonly ListedRun[]): FindingTable {
  const given = runs.some((run) => run.given !== '');
  return {
    name: 'runs',
    title: 'Runs',
    ...tabulate<ListedRun, FindingCell>(runs, [
      ['run', ({ run }) => run],
      ...(given ? [['given', (run: ListedRun) => run.given] as const] : []),
      ['row', ({ best }) => best.model],
      ['margin_fraction', ({ best }) => best.margin],
      ['accuracy_fraction', ({ best }) => best.accuracy],
      ['flops_per_image', ({ best }) => best.flops],
      ['reduction_fraction', ({ best }) => best.flopsReduction],
      ['date', ({ date }) => date.slice(0, 16).replace('T', ' ')],
      ['run_seconds', ({ seconds }) => seconds],
    ]),
  };
}

/** A row of a run that no other row beats in both FLOPs and accuracy. */
export interface ParetoRow {
  readonly run: string;
  readonly row: TableRow & { readonly accuracy: number };
}

/** All rows with labels. */
function rowsWithAccuracy(runs: readonly ListedRun[]): ParetoRow[] {
  return runs.flatMap(({ run, rows }) =>
    rows.flatMap((row) => (row.accuracy === null ? [] : [{ run, row: { ...row, accuracy: row.accuracy } }])),
  );
}

/** The rows of all runs that are not dominated, cheapest first. */
export function paretoRows(runs: readonly ListedRun[]): ParetoRow[] {
  const all = rowsWithAccuracy(runs);
  all.sort((a, b) => a.row.flops - b.row.flops || b.row.accuracy - a.row.accuracy);
  let best = Number.NEGATIVE_INFINITY;
  return all.filter(({ row }) => {
    if (!(row.accuracy > best)) return false;
    best = row.accuracy;
    return true;
  });
}

export function paretoTable(pareto: readonly ParetoRow[]): FindingTable {
  return {
    name: 'pareto',
    title: 'Rows that no other row beats in both accuracy and FLOPs',
    ...tabulate<ParetoRow, FindingCell>(pareto, [
      ['run', ({ run }) => run],
      ['row', ({ row }) => row.model],
      ['margin_fraction', ({ row }) => row.margin],
      ['search', ({ row }) => row.search],
      ['accuracy_fraction', ({ row }) => row.accuracy],
      ['flops_per_image', ({ row }) => row.flops],
      ['reduction_fraction', ({ row }) => row.flopsReduction],
    ]),
  };
}

/** Accuracy against FLOPs of all rows, with a line through those that are not dominated. */
export function paretoFigure(runs: readonly ListedRun[]): Figure {
  const point = ({ run, row: { model, flops, accuracy } }: ParetoRow) => {
    return { run, row: model, flops: flops / 1e9, accuracy: 100 * accuracy };
  };
  const all = rowsWithAccuracy(runs).map(point);
  const x = { field: 'flops', type: 'quantitative', title: 'FLOPs per image (G)' } as const;
  const y = { field: 'accuracy', type: 'quantitative', title: 'Accuracy (%)', scale: { zero: false } } as const;
  return {
    name: 'pareto',
    title: `Accuracy against FLOPs: ${all.length} rows of ${runs.length} runs`,
    caption: 'Each point is a row of a run; the line joins rows that no other row beats in both.',
    spec: {
      layer: [
        { data: { values: all }, mark: { type: 'point', filled: true, opacity: 0.6 }, encoding: { x, y } },
        {
          data: { values: paretoRows(runs).map(point) },
          mark: { type: 'line', interpolate: 'step-after' },
          encoding: { x, y },
        },
      ],
    },
  };
}
