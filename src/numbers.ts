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
