import { join, resolve } from 'node:path';
import { InputError } from '../errors.js';
import type { TableRow } from '../report/rows.js';
import type { RunRecord } from '../run/record.js';
import { exists, flatten, namesIn, readSealed } from '../store/files.js';

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
  };
}

async function find(nameOrPath: string, resultsRoot: string): Promise<string> {
  const isRun = (folder: string): Promise<boolean> => exists(join(folder, 'record.json'));
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
  for (const name of (await namesIn(resultsRoot)).sort()) {
    if ((await runsIn(join(resultsRoot, name))).length > 0) known.push(name);
  }
  const there = known.join(', ') || 'none';
  throw new InputError(
    `${nameOrPath}: no run; valid: the folder of a run, or its name below ${resultsRoot}; runs there: ${there}`,
  );
}
