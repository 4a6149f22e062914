/**
 * A whole number that a text of others holds, in plain digits: `0x10`, `6.4e2`, `1_000`, an empty text and what is more
 * than a number can hold exactly are none.
 */
export function wholeNumber(text: string): number | undefined {
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A number in decimal notation, `-0.24`, `.5` or `1e-3`; hexadecimal, blank and infinite ones are none. */
export function decimalNumber(text: string): number | undefined {
  const value = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

/** A whole number with separators: `10,000`. */
export const counted = (count: number): string => count.toLocaleString('en');

/** Hundredths of a share; a rounded zero has no sign. */
export const hundredths = (share: number, digits: number): string => unsignedZero((100 * share).toFixed(digits));

export const unsignedZero = (text: string): string => text.replace(/^-(0\.?0*)$/, '$1');

/** A share as percent: `12.3 %`. */
export const percent = (share: number, digits = 1): string => `${hundredths(share, digits)} %`;

/** A difference of shares in points: `1.23 points`. */
export const points = (share: number, digits = 2): string => `${hundredths(share, digits)} points`;

/** `a, b and c`. */
export function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}
