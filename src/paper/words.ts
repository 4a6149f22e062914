/** Hundredths of a share; a rounded zero has no sign. */
const hundredths = (share: number, digits: number): string =>
  (100 * share).toFixed(digits).replace(/^-(0\.?0*)$/, '$1');

/** A share as percent: `12.3 %`. */
export const percent = (share: number, digits = 1): string => `${hundredths(share, digits)} %`;

/** A difference of shares in points: `1.23 points`. */
export const points = (share: number, digits = 2): string => `${hundredths(share, digits)} points`;

/** `a, b and c`. */
export function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

export const counted = (count: number): string => count.toLocaleString('en');
