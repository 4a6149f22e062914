import { hundredths, unsignedZero } from '../json.js';
import type { Verdict } from '../report/findings.js';
import type { Interval } from '../statistics/samples.js';
import type { PrintedClaim } from './published.js';

/** What a claim says of one measured quantity: shares, or a factor. */
export interface ClaimPart {
  /** `FLOPs saved` */
  readonly what: string;
  readonly unit: 'percent' | 'points' | 'factor';
  readonly value: number;
  /** 95 %, or simultaneous with the other parts; value twice where it is exact. */
  readonly interval: Interval;
  readonly relation: PrintedClaim['relation'];
  readonly bound: number;
  /** Half of the last printed digit, or what counts as equal (`claims.csv`). */
  readonly margin: number;
}

/** Rows of a CSV file of a run, by column. */
export type Records = readonly Readonly<Record<string, string>>[];

/** CSV files of a run by name without extension; undefined where the run has none. */
export type Files = (name: string) => Records | undefined;

/** What the CSV files of a run say of a claim. */
export interface Evidence {
  /** Suffix of the claim's id, and of its statement, where it is measured in several ways. */
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
  /** Whether it is a claim about the paper's network itself, of which no other says anything. */
  readonly ownNetwork?: boolean;
  /** Why nothing can be concluded, whatever the parts say. */
  readonly impossible?: string;
}

const ROUNDING = 1e-12;

/**
 * The rule of all verdicts: a part holds where its whole interval lies on the claimed side of the bound, the margin
 * granted; it does not hold where the whole interval lies on the other side; otherwise it is undecided.
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

/**
 * Upper bound of the probability that a decided verdict is wrong by chance: 2.5 % where the true value lies beyond the
 * bound, for each part that could have decided it.
 */
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

/** `at least 55.77 % FLOPs saved`, with the margin where it is more than rounding of the last of two decimals. */
export function ruleText({ what, unit, relation, bound, margin }: ClaimPart): string {
  const granted = margin > 5.1e-5 ? ` (margin ${shown[unit](margin)})` : '';
  return `${relation} ${shown[unit](bound)}${units[unit]}${granted} ${what}`;
}

// What the CSV files of a run say.

type Measured = Pick<ClaimPart, 'value' | 'interval'>;
type Rule = Pick<ClaimPart, 'relation' | 'bound' | 'margin'>;

/** A column as a number; NaN, which decides nothing, where it is missing. */
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

/** How much accuracy was lost. */
export const lostPart = (measured: Measured, rule: Rule): ClaimPart => ({
  what: 'lost',
  unit: 'points',
  ...measured,
  ...rule,
});

/** How many FLOPs were saved. */
export const savedPart = (measured: Measured, rule: Rule): ClaimPart => ({
  what: 'FLOPs saved',
  unit: 'percent',
  ...measured,
  ...rule,
});

/** How many times fewer the FLOPs are. @param saved share of FLOPs saved */
export function dividedPart(saved: Measured, rule: Rule): ClaimPart {
  const factor = (share: number): number => 1 / (1 - share);
  const interval = { low: factor(saved.interval.low), high: factor(saved.interval.high) };
  return { what: 'fewer FLOPs', unit: 'factor', value: factor(saved.value), interval, ...rule };
}
