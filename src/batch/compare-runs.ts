import { join, resolve } from 'node:path';
import { parseCsv } from '../csv.js';
import { InputError } from '../errors.js';
import type { RowIntervals, TableRow } from '../report/rows.js';
import type { RunRecord } from '../run/record.js';
import { exists, flatten, namesIn, readSealed } from '../store/files.js';
import { readText } from '../store/input.js';
import { searchMethods } from '../thresholds/names.js';

/** A finished run of one or several seeds, read from its folder. */
export interface ComparedRun {
  readonly folder: string;
  /** Definition, data and code by path; those of the first seed. */
  readonly basis: ReadonlyMap<string, number | string>;
  readonly seeds: readonly number[];
  /** Rows of each seed, in the order of `seeds`. */
  readonly rows: readonly (readonly TableRow[])[];
  /** The rows of its table. */
  readonly table: readonly TableRow[];
  /** Its title and the number of reported images, where its record has them. */
  readonly title?: string | undefined;
  readonly images?: number | undefined;
}

/** `record.json` of a run, or of a table of several seeds. */
export type RecordedRun = Partial<RunRecord> & { readonly runs?: readonly string[] };

/**
 * Reads a run by its folder, or by a name below the folder of all results: `table1/laptop-1a2b3c4d`, or `table1` where
 * there is one run of it.
 *
 * @throws InputError where there is none, or more than one
 */
export async function openRun(nameOrPath: string, resultsRoot: string): Promise<ComparedRun> {
  const folder = await find(nameOrPath, resultsRoot);
  if (!(await exists(join(folder, 'record.json')))) return runOfCsv(folder);
  const record = await readRecord(join(folder, 'record.json'));
  if (!Array.isArray(record.rows)) throw new InputError(`${folder}: no run; valid: a folder that dgate run made`);
  if (record.runs === undefined) return runOf(folder, record, [record]);
  const seeds: RecordedRun[] = [];
  for (const run of record.runs) {
    // The folders of the seeds are named relative to the folder of results: <experiment>/<run>.
    const path = join(folder, '..', '..', run, 'record.json');
    const found = (await exists(path)) ? await readRecord(path) : undefined;
    if (found?.rows === undefined) throw new InputError(`${path}: missing; ${folder} is a table of it`);
    seeds.push(found);
  }
  return runOf(folder, record, seeds);
}

/** @throws InputError if the record was changed */
export async function readRecord(path: string): Promise<RecordedRun> {
  const stored = await readSealed(path);
  if (stored !== undefined && 'found' in stored) return stored.found as RecordedRun;
  throw new InputError(`${stored?.why ?? `${path}: missing`}; run it again`);
}

/** A run of which there is nothing but its table: what it rests on is not known. */
async function runOfCsv(folder: string): Promise<ComparedRun> {
  const where = join(folder, 'table.csv');
  const rows = parseCsv(await readText(where), where).map((cells): TableRow => {
    const number = (column: string): number | null => ((cells[column] ?? '') === '' ? null : Number(cells[column]));
    const { model = '', search = '' } = cells;
    const [drop, confidence] = [number('guaranteed_drop_fraction'), number('guarantee_confidence_fraction')];
    const [budget, allowedDisagreement] = [number('budget_fraction'), number('allowed_disagreement_fraction')];
    const of = cells['guarantee_of'] === 'agreement' ? ({ of: 'agreement' } as const) : {};
    return {
      model,
      margin: number('margin_fraction'),
      search: searchMethods.find((method) => method === search) ?? null,
      ...(budget !== null && { budget }),
      ...(allowedDisagreement !== null && { allowedDisagreement }),
      guarantee: drop === null || confidence === null ? null : { drop, confidence, ...of, parts: [] },
      thresholds: model === 'Original' ? [] : [[]],
      accuracy: number('accuracy_fraction') ?? Number.NaN,
      accuracyDrop: number('accuracy_drop_fraction') ?? Number.NaN,
      flops: number('flops_per_image') ?? Number.NaN,
      flopsReduction: number('flops_reduction_fraction') ?? Number.NaN,
      speedMs: number('speed_ms'),
      speedUp: number('speed_up_fraction'),
      efficiency: number('efficiency_fraction'),
      exits: Object.keys(cells).flatMap((column) => (/^exit\d+_fraction$/.test(column) ? (number(column) ?? []) : [])),
      intervals: intervalsOf(number),
      seeds: [0],
      spread: null,
      disagreement: number('disagreement_fraction') ?? Number.NaN,
      worstClassDrop: number('worst_class_drop_fraction') ?? Number.NaN,
    };
  });
  return { folder, basis: new Map(), seeds: [0], rows: [rows], table: rows };
}

/** Ends of the intervals in a row of `table.csv`. */
function intervalsOf(number: (column: string) => number | null): RowIntervals | null {
  const ends = (of: (end: string) => string) =>
    [number(of('low')) ?? Number.NaN, number(of('high')) ?? Number.NaN] as const;
  if (number('accuracy_low_fraction') === null) return null;
  return {
    accuracy: ends((end) => `accuracy_${end}_fraction`),
    accuracyDrop: ends((end) => `accuracy_drop_${end}_fraction`),
    flops: ends((end) => `flops_${end}_per_image`),
    flopsReduction: ends((end) => `flops_reduction_${end}_fraction`),
  };
}

/** A run of one seed or of several. @param table the record of the table of all seeds */
export function runOf(folder: string, table: RecordedRun, seeds: readonly RecordedRun[]): ComparedRun {
  const [first] = seeds;
  const definition = { ...first?.definition, name: undefined, title: undefined, checkpoint: undefined };
  const { preset, splits, checkpoint, images, versions, machine, engine, identity } = first ?? {};
  const basis = {
    definition: { ...definition, seed: undefined, seeds: undefined, engine },
    preset,
    checkpoint: checkpoint?.sha256,
    splits,
    images,
    versions,
    code: identity?.code,
    machine,
    seeds: seeds.flatMap((one) => one.seeds ?? []),
  };
  return {
    folder,
    basis: new Map(flatten(JSON.parse(JSON.stringify(basis)))),
    seeds: seeds.flatMap((one) => one.seeds ?? []),
    rows: seeds.map((one) => one.rows ?? []),
    table: table.rows ?? [],
    title: first?.definition?.title,
    images: first?.splits?.test,
  };
}

async function find(nameOrPath: string, resultsRoot: string): Promise<string> {
  const isRun = async (folder: string): Promise<boolean> =>
    (await exists(join(folder, 'record.json'))) || (await exists(join(folder, 'table.csv')));
  const below = join(resultsRoot, nameOrPath);
  for (const folder of [resolve(nameOrPath), below]) if (await isRun(folder)) return folder;
  const runsIn = async (folder: string): Promise<string[]> => {
    const found: string[] = [];
    for (const name of (await namesIn(folder)).sort()) {
      if (!name.includes('-grid-') && (await isRun(join(folder, name)))) found.push(name);
    }
    return found;
  };
  const runs = await runsIn(below);
  if (runs.length === 1) return join(below, runs[0]!);
  const valid = runs.map((name) => `${nameOrPath}/${name}`).join(', ');
  if (runs.length > 1) throw new InputError(`${nameOrPath}: ${runs.length} runs; valid: ${valid}`);
  const known: string[] = [];
  const names = [
    ...(await namesIn(resultsRoot)),
    ...(await namesIn(join(resultsRoot, 'reference'))).map((name) => `reference/${name}`),
  ];
  for (const name of names.sort()) {
    if ((await runsIn(join(resultsRoot, name))).length > 0) known.push(name);
  }
  const there = known.join(', ') || 'none';
  throw new InputError(
    `${nameOrPath}: no run; valid: the folder of a run, or its name below ${resultsRoot}; runs there: ${there}`,
  );
}
