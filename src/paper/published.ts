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

/** The rows of a table of `results/published`: `table1`, the original network last. @throws InputError for an unknown table */
export async function readPublished(name: string): Promise<PublishedRow[]> {
  const text = await readTextIfThere(fileURLToPath(new URL(`${name}.csv`, folder)));
  if (text === undefined) {
    const names = (await namesIn(fileURLToPath(folder))).map((file) => file.replace(/\.csv$/, '')).sort();
    const tables = names.filter((table) => table !== 'claims').join(', ');
    throw new InputError(`published: "${name}"; valid: ${tables}`);
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

/** What a measured quantity is compared with. */
interface Rule {
  readonly relation: (typeof relations)[number];
  /** In the unit of the quantity; NaN where a claim has none. */
  readonly bound: number;
  /** Half of the last printed digit, or what counts as equal: chosen before a run. */
  readonly margin: number;
}

/** A claim of the paper: a row of `results/published/claims.csv`. */
export interface PrintedClaim extends Rule {
  readonly id: string;
  readonly source: string;
  /** The paper's network. */
  readonly network: string;
  readonly statement: string;
  readonly printed: string;
  readonly quantity: string;
  /** Row of the table that the claim restates, from 1; NaN if it restates none. */
  readonly tableRow: number;
}

/** All claims of the paper, in the order of their file. */
export const printedClaims = once(async (): Promise<readonly PrintedClaim[]> => {
  const text = await readText(fileURLToPath(new URL('claims.csv', folder)));
  return parseCsv(text, 'results/published/claims.csv').map((record) => {
    const [bound, margin] = [numberIn(record, 'value'), numberIn(record, 'margin')];
    return { ...(record as unknown as PrintedClaim), bound, margin, tableRow: numberIn(record, 'table_row') };
  });
});

/** One measured quantity of a claim: shares, or a factor. */
export interface ClaimPart extends Rule {
  /** `FLOPs saved` */
  readonly what: string;
  readonly unit: 'percent' | 'points' | 'factor';
  readonly value: number;
  /** 95 %, or simultaneous with the other parts; the value twice if it is exact. */
  readonly interval: Interval;
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
  readonly impossible?: string | undefined;
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

const shown = (value: number, unit: ClaimPart['unit']): string =>
  unit === 'factor' ? unsignedZero(value.toFixed(2)) : hundredths(value, 2);
const units: Readonly<Record<ClaimPart['unit'], string>> = { percent: ' %', points: ' points', factor: ' x' };

/** `55.61 % [54.86, 56.38] FLOPs saved` */
export function measuredText({ what, unit, value, interval }: ClaimPart): string {
  const [low, high] = [shown(interval.low, unit), shown(interval.high, unit)];
  const within = low === high ? '' : ` [${low}, ${high}]`;
  return `${shown(value, unit)}${units[unit]}${within} ${what}`;
}

/** `at least 55.77 % FLOPs saved`, with the margin if it is more than rounding to two decimals. */
export function ruleText({ what, unit, relation, bound, margin }: ClaimPart): string {
  const granted = margin > 5.1e-5 ? ` (margin ${shown(margin, unit)})` : '';
  return `${relation} ${shown(bound, unit)}${units[unit]}${granted} ${what}`;
}

// Reading CSV files.

type Measured = Pick<ClaimPart, 'value' | 'interval'>;

/** A column as a number; a missing one is NaN, which decides nothing. */
export const numberIn = (record: Readonly<Record<string, string>> | undefined, column: string): number => {
  const text = record?.[column];
  return text === undefined || text === '' ? Number.NaN : Number(text);
};

/** A quantity with its interval from three columns. */
export function measuredIn(record: Readonly<Record<string, string>> | undefined, stem: string, ends = stem): Measured {
  const [low, high] = [numberIn(record, `${ends}_low_fraction`), numberIn(record, `${ends}_high_fraction`)];
  return { value: numberIn(record, `${stem}_fraction`), interval: { low, high } };
}

/** The part of a claim about this quantity. */
export const partOf =
  (what: string, unit: ClaimPart['unit']) =>
  (measured: Measured, { relation, bound, margin }: Rule): ClaimPart => {
    return { what, unit, ...measured, relation, bound, margin };
  };
export const lostPart = partOf('lost', 'points');
export const savedPart = partOf('FLOPs saved', 'percent');

/** How many times fewer the FLOPs are. @param saved share of FLOPs saved */
export function dividedPart(saved: Measured, rule: Rule): ClaimPart {
  const factor = (share: number): number => 1 / (1 - share);
  const interval = { low: factor(saved.interval.low), high: factor(saved.interval.high) };
  return partOf('fewer FLOPs', 'factor')({ value: factor(saved.value), interval }, rule);
}
