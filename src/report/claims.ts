import { visible } from '../escape.js';
import type { Claim, Verdict } from './findings.js';
import type { TableRow } from './rows.js';

/** All verdicts, in the order of summaries. */
export const verdicts: readonly Verdict[] = ['holds', 'does not hold', 'undecided', 'cannot be checked here'];

/** Speed-ups that differ by at most this share count as the same. */
const SAME_SPEED = 0.02;

/**
 * Judges the claims about time by the speeds in the table; `dgate time` measures them after the run. The paper's speeds
 * were measured on a Titan Xp; these are this machine's. Both are at batch 1.
 */
export function judgeSpeeds(claims: readonly Claim[], rows: readonly TableRow[], experiment: string): Claim[] {
  return claims.map((claim): Claim => {
    if (claim.speed === undefined) return claim;
    const { speedUp, model } = claim.speed;
    const found = rows.find((row) => row.model === model)?.speedUp ?? null;
    const because = (cause: string): string => [cause, ...(claim.why === undefined ? [] : [claim.why])].join('; ');
    if (found === null) {
      const why = because(`the run is not timed; to time it: dgate time ${experiment}`);
      return { ...claim, measured: 'not timed', verdict: 'cannot be checked here', why };
    }
    const verdict = found >= speedUp - SAME_SPEED ? 'holds' : 'does not hold';
    const why = because('timed on this machine, not on a Titan Xp');
    return { ...claim, measured: `${(100 * found).toFixed(1)} % speed-up`, verdict, why };
  });
}

/** Numbers of claims by verdict. */
export function countVerdicts(claims: readonly Claim[]): ReadonlyMap<Verdict, number> {
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
