import { csvOf, parseCsv } from '../csv.js';
import { InputError } from '../errors.js';
import { csvCell } from '../escape.js';
import { decimalNumber } from '../json.js';
import { readTextIfThere } from '../store/files.js';
import type { BaselineThresholds, Measure, Tolerance } from './measure.js';

/** A difference between a baseline and a check. */
export interface Moved {
  readonly item: string;
  readonly quantity: string;
  /** Absent if only the check has it. */
  readonly from?: number | string;
  /** Absent if only the baseline has it. */
  readonly to?: number | string;
  /** to - from, of numbers. */
  readonly difference?: number;
  readonly tolerance: Tolerance;
  /** False for a note, which only explains. */
  readonly isRegression: boolean;
}

const columns = ['item', 'quantity', 'value', 'tolerance'] as const;

/** A baseline as CSV: plain numbers and their tolerances. */
export function renderBaseline(measures: readonly Measure[]): string {
  const records = measures.map(({ item, quantity, value, tolerance }) => [item, quantity, value, tolerance]);
  return csvOf([columns, ...records]);
}

/** A baseline; undefined if the file does not exist. @throws InputError if the file is not a baseline */
export async function readBaseline(path: string): Promise<Measure[] | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  const records = parseCsv(text, path);
  const odd = records.findIndex((record) => {
    const isWhole = columns.every((column) => record[column] !== undefined);
    return !isWhole || toleranceFrom(record['tolerance']!) === undefined;
  });
  if (odd >= 0 || records.length === 0) {
    const where = `${path}: ${odd >= 0 ? `line ${odd + 2}` : 'empty'}`;
    throw new InputError(`${where}; valid: ${columns.join(', ')} (dgate check --update replaces it)`);
  }
  return records.map(({ item, quantity, value, tolerance }) => {
    return { item: item!, quantity: quantity!, value: valueFrom(value!), tolerance: toleranceFrom(tolerance!)! };
  });
}

const isNumber = (text: string): boolean => decimalNumber(text.trim()) !== undefined;

/** Hashes may look like numbers (`1e5...`): a number is a text that is printed the same after parsing. */
function valueFrom(text: string): number | string {
  return isNumber(text) && String(Number(text)) === text ? Number(text) : text;
}

function toleranceFrom(text: string): Tolerance | undefined {
  if (text === 'note' || text === 'given') return text;
  return isNumber(text) && Number(text) >= 0 ? Number(text) : undefined;
}

/** The thresholds stored in a baseline. */
export function givenThresholds(measures: readonly Measure[]): BaselineThresholds {
  const given = new Map<string, number[]>();
  for (const { item, value, tolerance } of measures) {
    if (tolerance !== 'given') continue;
    given.set(item, [...(given.get(item) ?? []), Number(value)]);
  }
  return given;
}

/**
 * Differences above their tolerances, in the order of the check; measures that only the baseline has come last. Notes
 * are included only if there is a regression.
 */
export function whatMoved(baseline: readonly Measure[], measures: readonly Measure[]): Moved[] {
  const key = ({ item, quantity }: Measure): string => `${csvCell(item)}\n${csvCell(quantity)}`;
  const before = new Map(baseline.map((measure) => [key(measure), measure]));
  const now = new Set(measures.map(key));
  const moved = measures.flatMap((measure): Moved[] => {
    const known = before.get(key(measure));
    const { item, quantity, value: to } = measure;
    if (known === undefined) return [{ item, quantity, to, ...judged(measure.tolerance) }];
    const from = known.value;
    const difference = typeof from === 'number' && typeof to === 'number' ? to - from : undefined;
    const allowed = typeof known.tolerance === 'number' ? known.tolerance : 0;
    // NaN is never the same, not even if the baseline has NaN too.
    const isSame =
      difference === undefined
        ? String(csvCell(from)) === String(csvCell(to)) && String(to) !== 'NaN'
        : Math.abs(difference) <= allowed;
    if (isSame) return [];
    return [{ item, quantity, from, to, ...(difference !== undefined && { difference }), ...judged(known.tolerance) }];
  });
  const gone = baseline.filter((measure) => !now.has(key(measure)));
  const all = [
    ...moved,
    ...gone.map(({ item, quantity, value, tolerance }): Moved => {
      return { item, quantity, from: value, ...judged(tolerance) };
    }),
  ];
  return all.some(({ isRegression }) => isRegression) ? all : [];
}

const judged = (tolerance: Tolerance): Pick<Moved, 'tolerance' | 'isRegression'> => {
  return { tolerance, isRegression: typeof tolerance === 'number' };
};
