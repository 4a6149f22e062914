import { visible } from '../escape.js';
import type { Claim, Verdict } from './findings.js';

/** All verdicts, in the order of summaries. */
export const verdicts: readonly Verdict[] = ['holds', 'does not hold', 'undecided', 'cannot be checked here'];

/** The verdict of several runs: theirs if all that could check agree, otherwise undecided. */
export function agreedVerdict(found: readonly Verdict[]): Verdict {
  const checked = new Set(found.filter((verdict) => verdict !== 'cannot be checked here'));
  if (checked.size === 0) return 'cannot be checked here';
  return checked.size === 1 ? [...checked][0]! : 'undecided';
}

/** Numbers of claims by verdict. */
export function countVerdicts(claims: readonly Pick<Claim, 'verdict'>[]): ReadonlyMap<Verdict, number> {
  return new Map(verdicts.map((verdict) => [verdict, claims.filter((claim) => claim.verdict === verdict).length]));
}

/** A line for each claim, below the table: the printed value, the measured one, and the reason for a difference. */
export function claimLines(claims: readonly Claim[]): string[] {
  const widest = Math.max(0, ...claims.map(({ verdict }) => verdict.length));
  return claims.map(({ verdict, source, statement, printed, measured, why }) => {
    const parts = [`${source}: ${statement}`, `paper: ${printed}`, `here: ${measured}`, ...(why ? [why] : [])];
    return `${verdict.padEnd(widest)}  ${visible(parts.join('; '))}`;
  });
}
