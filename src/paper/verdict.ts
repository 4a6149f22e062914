import type { Verdict } from '../report/findings.js';
import type { Interval } from '../statistics/samples.js';

export const relations = ['at least', 'at most', 'about'] as const;
export type Relation = (typeof relations)[number];

/** What a claim says of one measured quantity: shares, or a factor. */
export interface ClaimPart {
  /** `FLOPs saved` */
  readonly what: string;
  readonly unit: 'percent' | 'points' | 'factor';
  readonly value: number;
  /** 95 %, or simultaneous with the other parts; value twice where it is exact. */
  readonly interval: Interval;
  readonly relation: Relation;
  readonly bound: number;
  /** Half of the last printed digit, or what counts as equal (`claims.csv`). */
  readonly margin: number;
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
  percent: (value) => (100 * value).toFixed(2),
  points: (value) => (100 * value).toFixed(2),
  factor: (value) => value.toFixed(2),
};
const units: Readonly<Record<ClaimPart['unit'], string>> = { percent: ' %', points: ' points', factor: ' x' };

const plain = (text: string): string => text.replace(/^-(0\.?0*)$/, '$1');

/** `55.61 % [54.86, 56.38] FLOPs saved` */
export function measuredText({ what, unit, value, interval }: ClaimPart): string {
  const [low, high] = [interval.low, interval.high].map((end) => plain(shown[unit](end)));
  const within = low === high ? '' : ` [${low}, ${high}]`;
  return `${plain(shown[unit](value))}${units[unit]}${within} ${what}`;
}

/** `at least 55.77 % FLOPs saved`, with the margin where it is more than rounding of the last of two decimals. */
export function ruleText({ what, unit, relation, bound, margin }: ClaimPart): string {
  const granted = margin > 5.1e-5 ? ` (margin ${shown[unit](margin)})` : '';
  return `${relation} ${plain(shown[unit](bound))}${units[unit]}${granted} ${what}`;
}
