import type { ConfidenceKind } from '../gates/confidence.js';
import type { Claim, Verdict } from '../report/findings.js';
import type { ScoredRun } from '../run/analyses.js';
import { printedClaim, settle } from './claims.js';
import type { ComparedLosses, CurveComparison } from './lossCurves.js';
import { listed, percent, points, within } from './words.js';

/**
 * Holds if hinge is better at half of the compared shares or more and worse at none; does not hold if it is worse at
 * any; otherwise undecided.
 */
export function gapVerdict({ differences }: CurveComparison): Verdict {
  const won = differences.filter(({ winner }) => winner === 'hinge').length;
  if (differences.some(({ winner }) => winner === 'cross-entropy')) return 'does not hold';
  return 2 * won >= differences.length ? 'holds' : 'undecided';
}

/** Holds if there is a gap at the largest share that is significantly larger than at the smallest. */
export function wideningVerdict({ differences, widening }: CurveComparison): Verdict {
  const last = differences.at(-1)!.winner;
  if (last === 'cross-entropy' || widening.interval.high < 0) return 'does not hold';
  return last === 'hinge' && widening.interval.low > 0 ? 'holds' : 'undecided';
}

/** Verdicts on the gap and on its growth, for each confidence of the cross-entropy gate. */
export async function lossClaims(run: ScoredRun, comparisons: readonly ComparedLosses[]): Promise<Claim[]> {
  const [gap, widening] = [await printedClaim('figure4-gap'), await printedClaim('figure4-widening')];
  return comparisons
    .filter(({ hinge }) => hinge === 'max')
    .flatMap((comparison) => {
      const { other, differences } = comparison;
      const row = `hinge max, cross-entropy ${other}`;
      const trace = { file: 'differences.csv', row };
      const detail = `largest distance against ${confidenceName[other]}`;
      const shown = differences.map(({ reduction, difference }) => {
        return `${difference > 0 ? '+' : ''}${(100 * difference).toFixed(2)} at ${percent(reduction, 0)}`;
      });
      const wins = (winner: string) =>
        differences.filter((of) => of.winner === winner).map(({ reduction }) => percent(reduction, 0));
      const verdict = gapVerdict(comparison);
      const [better, worse] = [wins('hinge'), wins('cross-entropy')];
      const why = [
        better.length > 0
          ? `hinge is better with ${listed(better)} fewer FLOPs`
          : 'hinge is significantly better nowhere',
        worse.length > 0 ? `cross-entropy with ${listed(worse)}` : 'cross-entropy nowhere',
      ].join(', ');
      const { difference, interval } = comparison.widening;
      return [
        settle(gap, run.experiment, {
          variant: other,
          detail,
          measured: `${shown.join(', ')} (points at equal FLOPs)`,
          verdict,
          why: verdict === 'holds' ? undefined : why,
          trace,
        }),
        settle(widening, run.experiment, {
          variant: other,
          detail,
          measured: `${points(difference)} ${within(interval, 2)} larger at ${percent(differences.at(-1)!.reduction, 0)} than at ${percent(differences[0]!.reduction, 0)} fewer FLOPs`,
          verdict: wideningVerdict(comparison),
          why: wideningVerdict(comparison) === 'holds' ? 'growth is tested, exponential growth is not' : why,
          trace,
        }),
      ];
    });
}

const confidenceName: Readonly<Record<ConfidenceKind, string>> = {
  max: 'the largest logit',
  softmax: 'the largest softmax probability',
  entropy: 'the entropy',
  difference: 'the difference of the two largest logits',
};
