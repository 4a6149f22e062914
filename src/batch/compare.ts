import type { TableRow } from '../report/rows.js';
import { pairedInterval, welchInterval } from '../statistics/intervals.js';
import { endsOf, type IntervalEnds, mean } from '../statistics/samples.js';
import type { ComparedRun } from './compare-runs.js';

/** A difference between the definitions, data or code of two runs. */
export interface BasisDifference {
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
  /** 95 % interval of the difference over seeds; null if a run has one seed only. */
  readonly interval: IntervalEnds | null;
}

export interface Comparison {
  readonly a: string;
  readonly b: string;
  readonly basis: readonly BasisDifference[];
  /** There where one of them is nothing but its `table.csv`. */
  readonly basisUnknown?: true;
  readonly results: readonly ResultDifference[];
  /** Rows that are equal in both runs. */
  readonly equalRows: number;
  /**
   * Paired by seed if both have the same seeds, otherwise of independent samples; absent if a run has one seed only.
   */
  readonly intervals?: 'paired' | 'independent';
}

const quantities: readonly (readonly [name: string, of: (row: TableRow) => number | null])[] = [
  ['accuracy_fraction', (row) => row.accuracy],
  ['accuracy_drop_fraction', (row) => row.accuracyDrop],
  ['flops_per_image', (row) => row.flops],
  ['flops_reduction_fraction', (row) => row.flopsReduction],
  ['speed_ms', (row) => row.speedMs],
];

/** The differences between two runs: in definition, data and code, and in the results. */
export function compareRuns(a: ComparedRun, b: ComparedRun): Comparison {
  // Of a run that is nothing but its table, what it rests on is not known.
  const isKnown = a.basis.size > 0 && b.basis.size > 0;
  const paths = isKnown ? [...new Set([...a.basis.keys(), ...b.basis.keys()])] : [];
  const basis = paths.flatMap((path): BasisDifference[] => {
    const [one, two] = [a.basis.get(path) ?? null, b.basis.get(path) ?? null];
    return one === two ? [] : [{ path, a: one, b: two }];
  });
  const isPaired = a.seeds.length === b.seeds.length && a.seeds.every((seed) => b.seeds.includes(seed));
  const isSpread = a.seeds.length > 1 && b.seeds.length > 1;
  const [rowsOfA, rowsOfB] = [byName(a), byName(b)];
  const names = [...new Set([...rowsOfA.keys(), ...rowsOfB.keys()])];
  const results = names.flatMap((row) => {
    const [one, two] = [rowsOfA.get(row) ?? [], rowsOfB.get(row) ?? []];
    return measuresOf(one, two).flatMap(({ quantity, of }): ResultDifference[] => {
      const [values, others] = [valuesOf(one, of), valuesOf(two, of)];
      if (values.join() === others.join()) return [];
      const [first, second] = [meanOf(values), meanOf(others)];
      if (first === null || second === null) {
        return [{ row, quantity, a: first, b: second, difference: null, interval: null }];
      }
      const pairs = a.seeds.map((seed, i) => others[b.seeds.indexOf(seed)]! - values[i]!);
      const interval = isPaired ? pairedInterval(pairs) : welchInterval(values, others);
      const ends = isSpread ? endsOf(interval) : null;
      return [{ row, quantity, a: first, b: second, difference: second - first, interval: ends }];
    });
  });
  const differing = new Set(results.map(({ row }) => row));
  return {
    a: a.folder,
    b: b.folder,
    basis,
    ...(!isKnown && { basisUnknown: true as const }),
    results,
    equalRows: names.filter((name) => !differing.has(name)).length,
    ...(isSpread && { intervals: isPaired ? ('paired' as const) : ('independent' as const) }),
  };
}

/** The quantities of a row, exits included. */
function measuresOf(a: readonly TableRow[], b: readonly TableRow[]) {
  const exits = Math.max(a[0]?.exits.length ?? 0, b[0]?.exits.length ?? 0);
  return [
    ...quantities.map(([quantity, of]) => ({ quantity, of })),
    ...Array.from({ length: exits }, (_, exit) => {
      return { quantity: `exit${exit + 1}_fraction`, of: (row: TableRow): number | null => row.exits[exit] ?? null };
    }),
  ];
}

/** One number for each seed; empty if a seed was not measured. */
function valuesOf(rows: readonly TableRow[], of: (row: TableRow) => number | null): number[] {
  const values = rows.map(of);
  return values.every((value) => value !== null) ? values : [];
}

const meanOf = (values: readonly number[]): number | null => (values.length === 0 ? null : mean(values));

/** The rows of a run by their targets (margin, guarantee, thresholds), one for each seed. */
function byName({ rows }: ComparedRun): Map<string, TableRow[]> {
  const named = new Map<string, TableRow[]>();
  for (const table of rows) {
    for (const row of table) named.set(rowName(row), [...(named.get(rowName(row)) ?? []), row]);
  }
  return named;
}

/** `margin 0.01, joint`; rows of fixed thresholds are named by these. */
function rowName({ model, margin, search, budget, allowedDisagreement, guarantee }: TableRow): string {
  if (guarantee !== null) {
    const { drop, confidence, of, method } = guarantee;
    return [
      `at most ${drop} ${of === 'agreement' ? 'other answers' : 'lost'}`,
      `confidence ${confidence}`,
      ...(method === undefined ? [] : [method]),
    ].join(', ');
  }
  if (allowedDisagreement !== undefined) return `other answers ${allowedDisagreement}`;
  if (budget !== undefined) return `budget ${budget}`;
  return margin === null ? model : `margin ${margin}, ${search}`;
}
