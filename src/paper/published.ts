import { fileURLToPath } from 'node:url';
import { parseCsv } from '../csv.js';
import { InputError, Problems } from '../errors.js';
import { decimalNumber, hundredths, unsignedZero } from '../json.js';
import { projectRoot } from '../project.js';
import type { Verdict } from '../report/findings.js';
import type { PublishedRow } from '../report/rows.js';
import { once } from '../run/source.js';
import type { Interval } from '../statistics/intervals.js';
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
  /** The bound of the measured quantity, in its unit; NaN without one. */
  readonly value: number;
  readonly relation: (typeof relations)[number];
  /** Half of the last printed digit, or what counts as equal: chosen before a run. */
  readonly margin: number;
  /** Row of the table that the claim restates, from 1; NaN if it restates none. */
  readonly tableRow: number;
}

/** All claims of the paper, in the order of their file. */
export const printedClaims = once(async (): Promise<readonly PrintedClaim[]> => {
  const text = await readText(fileURLToPath(new URL('claims.csv', folder)));
  return parseCsv(text, 'results/published/claims.csv').map((record) => {
    const { id = '', source = '', network = '', statement = '', printed = '', quantity = '' } = record;
    const relation = record['relation'] as PrintedClaim['relation'];
    const [value, margin, tableRow] = [
      numberIn(record, 'value'),
      numberIn(record, 'margin'),
      numberIn(record, 'table_row'),
    ];
    return { id, source, network, statement, printed, quantity, value, relation, margin, tableRow };
  });
});

/** One measured quantity of a claim: shares, or a factor. */
export interface ClaimPart {
  /** `FLOPs saved` */
  readonly what: string;
  readonly unit: 'percent' | 'points' | 'factor';
  readonly value: number;
  /** 95 %, or simultaneous with the other parts; the value twice if it is exact. */
  readonly interval: Interval;
  readonly relation: PrintedClaim['relation'];
  readonly bound: number;
  /** Half of the last printed digit, or what counts as equal (`claims.csv`). */
  readonly margin: number;
}

/** Rows of a CSV file of a run, by column. */
export type Records = readonly Readonly<Record<string, string>>[];

/** CSV files of a run by name without extension; undefined for a missing one. */
export type Files = (name: string) => Records | undefined;

/** The measurements in a run's CSV files that bear on a claim. */
export interface Evidence {
  /** Suffix of the claim's id, and of its statement, if it is measured in several ways. */
  readonly variant?: string;
  readonly detail?: string;
  readonly parts: readonly ClaimPart[];
  /** Whether one part is enough: "some classes". */
  readonly some?: boolean;
  /** Instead of the list of all parts. */
  readonly measured?: string;
  readonly rule?: string;
  readonly file: string;
  readonly row: string;
  readonly note?: string;
  /** Whether the claim holds for the paper's own network only. */
  readonly ownNetwork?: boolean;
  /** Why the claim cannot be checked. */
  readonly impossible?: string;
}

const ROUNDING = 1e-12;

/**
 * The rule of all verdicts: a part holds if its whole interval lies on the claimed side of the bound, widened by the margin; it
 * does not hold if the whole interval lies on the other side; otherwise it is undecided.
 */
export function verdictOn({ interval: { low, high }, relation, bound, margin }: ClaimPart): Verdict {
  const [least, most] = [bound - margin - ROUNDING, bound + margin + ROUNDING];
  const isEnough = relation === 'at most' || low >= least;
  const isLittle = relation === 'at least' || high <= most;
  if (isEnough && isLittle) return 'holds';
  const isShort = relation !== 'at most' && high < least;
  const isBeyond = relation !== 'at least' && low > most;
  return isShort || isBeyond ? 'does not hold' : 'undecided';
}

/** A claim of several parts holds if all do (`some`: if one does) and fails if one does (`some`: if all do). */
export function verdictOnParts(parts: readonly ClaimPart[], some = false): Verdict {
  const found = parts.map(verdictOn);
  const [decisive, other]: [Verdict, Verdict] = some ? ['holds', 'does not hold'] : ['does not hold', 'holds'];
  if (found.includes(decisive)) return decisive;
  return found.length > 0 && found.every((verdict) => verdict === other) ? other : 'undecided';
}

/** Upper bound of the probability that a decided verdict is wrong by chance: 2.5 % for each part that could have decided it. */
export function chanceOf(verdict: Verdict, parts: readonly ClaimPart[], some = false): number {
  if (verdict !== 'holds' && verdict !== 'does not hold') return 0;
  return 0.025 * (verdict === (some ? 'holds' : 'does not hold') ? parts.length : 1);
}

const shown: Readonly<Record<ClaimPart['unit'], (value: number) => string>> = {
  percent: (share) => hundredths(share, 2),
  points: (share) => hundredths(share, 2),
  factor: (value) => unsignedZero(value.toFixed(2)),
};
const units: Readonly<Record<ClaimPart['unit'], string>> = { percent: ' %', points: ' points', factor: ' x' };

/** `55.61 % [54.86, 56.38] FLOPs saved` */
export function measuredText({ what, unit, value, interval }: ClaimPart): string {
  const [low, high] = [interval.low, interval.high].map((end) => shown[unit](end));
  const within = low === high ? '' : ` [${low}, ${high}]`;
  return `${shown[unit](value)}${units[unit]}${within} ${what}`;
}

/** `at least 55.77 % FLOPs saved`, with the margin if it is more than rounding to two decimals. */
export function ruleText({ what, unit, relation, bound, margin }: ClaimPart): string {
  const granted = margin > 5.1e-5 ? ` (margin ${shown[unit](margin)})` : '';
  return `${relation} ${shown[unit](bound)}${units[unit]}${granted} ${what}`;
}

// Reading CSV files.

type Measured = Pick<ClaimPart, 'value' | 'interval'>;
type Rule = Pick<ClaimPart, 'relation' | 'bound' | 'margin'>;

/** A column as a number; a missing one is NaN, which decides nothing. */
export const numberIn = (record: Readonly<Record<string, string>> | undefined, column: string): number => {
  const text = record?.[column];
  return text === undefined || text === '' ? Number.NaN : Number(text);
};

/** A quantity with its interval from three columns. */
export function measuredIn(record: Readonly<Record<string, string>> | undefined, stem: string, ends = stem): Measured {
  const [value, low, high] = [`${stem}_fraction`, `${ends}_low_fraction`, `${ends}_high_fraction`].map((column) =>
    numberIn(record, column),
  ) as [number, number, number];
  return { value, interval: { low, high } };
}

/** The rule of a claim as `claims.csv` has it. */
export const ruleOf = ({ relation, value, margin }: PrintedClaim): Rule => ({ relation, bound: value, margin });

/** The part of a claim about this quantity. */
export const partOf =
  (what: string, unit: ClaimPart['unit']) =>
  (measured: Measured, rule: Rule): ClaimPart => ({ what, unit, ...measured, ...rule });
export const lostPart = partOf('lost', 'points');
export const savedPart = partOf('FLOPs saved', 'percent');

/** How many times fewer the FLOPs are. @param saved share of FLOPs saved */
export function dividedPart(saved: Measured, rule: Rule): ClaimPart {
  const factor = (share: number): number => 1 / (1 - share);
  const interval = { low: factor(saved.interval.low), high: factor(saved.interval.high) };
  return partOf('fewer FLOPs', 'factor')({ value: factor(saved.value), interval }, rule);
}
