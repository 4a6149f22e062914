import { join, resolve } from 'node:path';
import { listAt, parseCsv } from '../csv.js';
import { InputError } from '../errors.js';
import type { RowIntervals, TableRow } from '../report/rows.js';
import type { RunRecord } from '../run/record.js';
import { endsOf, type IntervalEnds, mean, pairedInterval, welchInterval } from '../statistics/intervals.js';
import { exists, flatten, namesIn, readSealed } from '../store/files.js';
import { readText } from '../store/input.js';
import { searchMethods } from '../thresholds/methods.js';

/** A finished run of one or several seeds, read from its folder. */
export interface ComparedRun {
  readonly folder: string;
  /** Definition, data and code of the first seed, by path; empty if unknown. */
  readonly basis: ReadonlyMap<string, number | string>;
  readonly seeds: readonly number[];
  /** Rows of each seed, in the order of `seeds`. */
  readonly rows: readonly (readonly TableRow[])[];
  readonly table: readonly TableRow[];
  readonly title?: string | undefined;
  readonly images?: number | undefined;
}

/** `record.json` of a run, or of a table of several seeds. */
export type RecordedRun = Partial<RunRecord> & { readonly runs?: readonly string[] };

/**
 * Reads a run by its folder or its name in the folder of results: `table1/laptop-1a2b3c4d`, or `table1` if that has one run.
 * @throws InputError if there is none, or several
 */
export async function openRun(nameOrPath: string, resultsRoot: string): Promise<ComparedRun> {
  const folder = await find(nameOrPath, resultsRoot);
  if (!(await exists(join(folder, 'record.json')))) return runOfCsv(folder);
  const record = await readRecord(join(folder, 'record.json'));
  if (!Array.isArray(record.rows)) throw new InputError(`${folder}: no run; valid: a folder that dgate run made`);
  if (record.runs === undefined) return runOf(folder, record, [record]);
  const seeds: RecordedRun[] = [];
  for (const run of record.runs) {
    // `<experiment>/<run>`, relative to the folder of results.
    const path = join(folder, '..', '..', run, 'record.json');
    const found = (await exists(path)) ? await readRecord(path) : undefined;
    if (found?.rows === undefined) throw new InputError(`${path}: missing; ${folder} needs it: run that seed again`);
    seeds.push(found);
  }
  return runOf(folder, record, seeds);
}

/** @throws InputError if the record is missing or was changed */
export async function readRecord(path: string): Promise<RecordedRun> {
  const stored = await readSealed(path);
  if (stored !== undefined && 'found' in stored) return stored.found as RecordedRun;
  throw new InputError(`${stored?.why ?? `${path}: missing`}; run it again`);
}

/** A run of which only `table.csv` is known. */
async function runOfCsv(folder: string): Promise<ComparedRun> {
  const where = join(folder, 'table.csv');
  const lines = parseCsv(await readText(where), where);
  if (lines[0]?.['model'] === undefined) throw new InputError(`${where}: no rows of models; valid: a run's table.csv`);
  const rows = lines.map(rowOfCsv);
  return { folder, basis: new Map(), seeds: [0], rows: [rows], table: rows };
}

/** A row of `table.csv`; what that does not hold is NaN, null or empty. */
function rowOfCsv(cells: Readonly<Record<string, string>>): TableRow {
  const number = (column: string): number | null => ((cells[column] ?? '') === '' ? null : Number(cells[column]));
  const orNaN = (column: string): number => number(column) ?? Number.NaN;
  const ends = (start: string, unit: string) =>
    [orNaN(`${start}_low_${unit}`), orNaN(`${start}_high_${unit}`)] as const;
  const intervals = (): RowIntervals => ({
    accuracy: ends('accuracy', 'fraction'),
    accuracyDrop: ends('accuracy_drop', 'fraction'),
    flops: ends('flops', 'per_image'),
    flopsReduction: ends('flops_reduction', 'fraction'),
  });
  const { model = '', search } = cells;
  const [drop, confidence] = [number('guaranteed_drop_fraction'), number('guarantee_confidence_fraction')];
  const [budget, allowedDisagreement] = [number('budget_fraction'), number('allowed_disagreement_fraction')];
  const latencyMs = number('latency_budget_ms');
  const of = cells['guarantee_of'] === 'agreement' ? ({ of: 'agreement' } as const) : {};
  return {
    model,
    margin: number('margin_fraction'),
    search: searchMethods.find((method) => method === search) ?? null,
    ...(budget !== null && { budget }),
    ...(latencyMs !== null && { latencyMs }),
    ...(allowedDisagreement !== null && { allowedDisagreement }),
    guarantee: drop === null || confidence === null ? null : { drop, confidence, ...of, parts: [] },
    thresholds: model === 'Original' ? [] : [[]],
    accuracy: orNaN('accuracy_fraction'),
    accuracyDrop: orNaN('accuracy_drop_fraction'),
    flops: orNaN('flops_per_image'),
    flopsReduction: orNaN('flops_reduction_fraction'),
    speedMs: number('speed_ms'),
    speedUp: number('speed_up_fraction'),
    efficiency: number('efficiency_fraction'),
    exits: Object.keys(cells).flatMap((column) => (/^exit\d+_fraction$/.test(column) ? (number(column) ?? []) : [])),
    intervals: number('accuracy_low_fraction') === null ? null : intervals(),
    seeds: [0],
    spread: null,
    disagreement: orNaN('disagreement_fraction'),
    worstClassDrop: orNaN('worst_class_drop_fraction'),
  };
}

/** A run of one seed or of several. @param table the record of the table of all seeds */
export function runOf(folder: string, table: RecordedRun, records: readonly RecordedRun[]): ComparedRun {
  const { definition, preset, splits, checkpoint, images, versions, machine, engine, identity } = records[0] ?? {};
  const left = { name: undefined, title: undefined, checkpoint: undefined, seed: undefined, seeds: undefined };
  const seeds = records.flatMap((one) => one.seeds ?? []);
  const basis = {
    definition: { ...definition, ...left, engine },
    preset,
    checkpoint: checkpoint?.sha256,
    splits,
    images,
    versions,
    code: identity?.code,
    machine,
    seeds,
  };
  return {
    folder,
    basis: new Map(flatten(JSON.parse(JSON.stringify(basis)))),
    seeds,
    rows: records.map((one) => one.rows ?? []),
    table: table.rows ?? [],
    title: definition?.title,
    images: splits?.test,
  };
}

async function find(nameOrPath: string, resultsRoot: string): Promise<string> {
  const isRun = async (folder: string): Promise<boolean> =>
    (await exists(join(folder, 'record.json'))) || (await exists(join(folder, 'table.csv')));
  const runsIn = async (folder: string): Promise<string[]> => {
    const found: string[] = [];
    for (const name of (await namesIn(folder)).sort()) {
      if (!name.includes('-grid-') && (await isRun(join(folder, name)))) found.push(name);
    }
    return found;
  };
  const below = join(resultsRoot, nameOrPath);
  for (const folder of [resolve(nameOrPath), below]) if (await isRun(folder)) return folder;
  const runs = await runsIn(below);
  if (runs.length === 1) return join(below, runs[0]!);
  const valid = runs.map((name) => `${nameOrPath}/${name}`).join(', ');
  if (runs.length > 1) throw new InputError(`${nameOrPath}: ${runs.length} runs; valid: ${valid}`);
  const references = (await namesIn(join(resultsRoot, 'reference'))).map((name) => `reference/${name}`);
  const known: string[] = [];
  for (const name of [...(await namesIn(resultsRoot)), ...references].sort()) {
    if ((await runsIn(join(resultsRoot, name))).length > 0) known.push(name);
  }
  throw new InputError(
    `${nameOrPath}: no run; valid: the folder of a run, or its name below ${resultsRoot}; ` +
      `runs there: ${known.join(', ') || 'none'}`,
  );
}

/** A difference between the definitions, data or code of two runs. */
interface BasisDifference {
  readonly path: string;
  readonly a: number | string | null;
  readonly b: number | string | null;
}

/** A difference between the results of two runs. */
export interface ResultDifference {
  readonly row: string;
  /** With its unit. */
  readonly quantity: string;
  /** Mean over the seeds; null if the run has no such row. */
  readonly a: number | null;
  readonly b: number | null;
  /** b - a. */
  readonly difference: number | null;
  /** 95 % interval of the difference over seeds; null if a run has one seed. */
  readonly interval: IntervalEnds | null;
}

export interface Comparison {
  readonly a: string;
  readonly b: string;
  readonly basis: readonly BasisDifference[];
  /** Present if one of them is only a `table.csv`. */
  readonly basisUnknown?: true;
  readonly results: readonly ResultDifference[];
  readonly equalRows: number;
  /** Paired by seed if both runs have the same seeds, otherwise of independent samples; absent if one has one seed. */
  readonly intervals?: 'paired' | 'independent';
}

type Quantity = readonly [name: string, of: (row: TableRow) => number | null];

const quantities: readonly Quantity[] = [
  ['accuracy_fraction', (row) => row.accuracy],
  ['accuracy_drop_fraction', (row) => row.accuracyDrop],
  ['disagreement_fraction', ({ accuracy, disagreement }) => (accuracy === null ? disagreement : null)], // without labels
  ['flops_per_image', (row) => row.flops],
  ['flops_reduction_fraction', (row) => row.flopsReduction],
  ['speed_ms', (row) => row.speedMs],
];

/** The differences between two runs: in definition, data and code, and in the results. */
export function compareRuns(a: ComparedRun, b: ComparedRun): Comparison {
  const isKnown = a.basis.size > 0 && b.basis.size > 0;
  const paths = isKnown ? [...new Set([...a.basis.keys(), ...b.basis.keys()])] : [];
  const basis = paths
    .map((path) => ({ path, a: a.basis.get(path) ?? null, b: b.basis.get(path) ?? null }))
    .filter((one) => one.a !== one.b);
  const isPaired = a.seeds.length === b.seeds.length && a.seeds.every((seed) => b.seeds.includes(seed));
  const isSpread = a.seeds.length > 1 && b.seeds.length > 1;
  const [rowsOfA, rowsOfB] = [rowsByTarget(a), rowsByTarget(b)];
  const names = [...new Set([...rowsOfA.keys(), ...rowsOfB.keys()])];
  const results = names.flatMap((row) => {
    const [one, two] = [rowsOfA.get(row) ?? [], rowsOfB.get(row) ?? []];
    return quantitiesOf(one, two).flatMap(([quantity, of]): ResultDifference[] => {
      const [values, others] = [valuesOf(one, of), valuesOf(two, of)];
      const isMeasured = one.length === 0 || two.length === 0 || (values.length > 0 && others.length > 0);
      if (!isMeasured || values.join() === others.join()) return [];
      const [first, second] = [values, others].map((known) => (known.length === 0 ? null : mean(known)));
      if (first == null || second == null) {
        return [{ row, quantity, a: first ?? null, b: second ?? null, difference: null, interval: null }];
      }
      const pairs = a.seeds.map((seed, i) => others[b.seeds.indexOf(seed)]! - values[i]!);
      const interval = isSpread ? endsOf(isPaired ? pairedInterval(pairs) : welchInterval(values, others)) : null;
      return [{ row, quantity, a: first, b: second, difference: second - first, interval }];
    });
  });
  const differing = new Set(results.map(({ row }) => row));
  return {
    a: a.folder,
    b: b.folder,
    basis,
    ...(!isKnown && { basisUnknown: true }),
    results,
    equalRows: names.filter((name) => !differing.has(name)).length,
    ...(isSpread && { intervals: isPaired ? 'paired' : 'independent' }),
  };
}

function quantitiesOf(a: readonly TableRow[], b: readonly TableRow[]): Quantity[] {
  const exits = Math.max(a[0]?.exits.length ?? 0, b[0]?.exits.length ?? 0);
  const share = (exit: number): Quantity => [`exit${exit + 1}_fraction`, (row) => row.exits[exit] ?? null];
  return [...quantities, ...Array.from({ length: exits }, (_, exit) => share(exit))];
}

/** One number per seed; empty if one was not measured. */
function valuesOf(rows: readonly TableRow[], of: Quantity[1]): number[] {
  const values = rows.map(of);
  return values.every((value) => value !== null) ? values : [];
}

/** The rows of a run by their targets, one for each seed. */
function rowsByTarget({ rows }: ComparedRun): Map<string, TableRow[]> {
  const named = new Map<string, TableRow[]>();
  for (const own of rows) {
    const targets = own.map(targetOf);
    for (const [i, target] of targets.entries()) {
      const earlier = targets.slice(0, i).filter((other) => other === target).length;
      listAt(named, earlier === 0 ? target : `${target}, number ${earlier + 1}`).push(own[i]!);
    }
  }
  return named;
}

/** `margin 0.01, joint`; fixed thresholds are their own target, in two digits: several rows of a run may have the same. */
function targetOf({ model, margin, search, budget, latencyMs, allowedDisagreement, guarantee }: TableRow): string {
  if (guarantee !== null) {
    const { drop, confidence, of, method } = guarantee;
    const lost = `at most ${drop} ${of === 'agreement' ? 'other answers' : 'lost'}`;
    return [lost, `confidence ${confidence}`, ...(method === undefined ? [] : [method])].join(', ');
  }
  if (allowedDisagreement !== undefined) return `other answers ${allowedDisagreement}`;
  if (budget !== undefined) return `budget ${budget}`;
  if (latencyMs !== undefined) return `at most ${latencyMs} ms`;
  return margin === null ? model : `margin ${margin}, ${search}`;
}
