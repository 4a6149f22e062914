import { renderColumns } from '../../src/report/findings.js';
import type { Ratio, Target } from './types.js';

/** Whether the median ratio is what was asked for; undefined where nothing was. */
export function isMet({ ratio, target }: Ratio): boolean | undefined {
  if (target === undefined) return undefined;
  return 'atLeast' in target ? ratio >= target.atLeast : ratio <= target.atMost;
}

export function targetText(target: Target | undefined): string {
  if (target === undefined) return '';
  return 'atLeast' in target ? `>= ${target.atLeast}` : `<= ${target.atMost}`;
}

/** The ratios as a console table, notes below it. */
export function renderRatios(ratios: readonly Ratio[]): string {
  const rows = ratios.map((ratio) => {
    const { what, against, ours, peer, unit, low, high, rounds, target } = ratio;
    const met = isMet(ratio);
    return [
      what,
      against,
      `${digits(ours)} ${unit}`,
      `${digits(peer)} ${unit}`,
      `${digits(ratio.ratio)} (${digits(low)}-${digits(high)})`,
      String(rounds),
      targetText(target),
      met === undefined ? '' : met ? 'yes' : 'NO',
    ];
  });
  const notes = ratios.flatMap(({ what, note }) => (note === '' ? [] : [`${what}: ${note}`]));
  const head = ['', 'Against', 'Ours', 'Other', 'Ratio (quartiles)', 'Rounds', 'Asked', 'Met'];
  return [renderColumns(head, rows), ...notes].join('\n');
}

/** Three digits, or all before the point. */
function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(6, Math.max(0, 2 - magnitude)));
}
