import { Budget } from './budget.js';
import { InputError, messageOf } from './errors.js';

/** Deeper than anything that dgate reads; what walks over a value afterwards may do so by recursion. */
const DEEPEST = 100;

/**
 * A value from JSON of others.
 *
 * @param where what the messages call the text
 * @throws InputError where it is no JSON, nested too deeply, or holds more values than a text of its length should
 */
export function parseJson(text: string, where: string): unknown {
  const budget = new Budget(where, text.length, 'fewer values');
  let depth = 0;
  for (const { kind } of jsonTokens(text)) {
    budget.steps();
    if (kind === '{' || kind === '[') depth++;
    else if (kind === '}' || kind === ']') depth--;
    if (depth > DEEPEST) throw new InputError(`${where}: not JSON that dgate reads: nested more than ${DEEPEST} deep`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new InputError(`${where}: not JSON: ${messageOf(error)}`);
  }
}

interface JsonToken {
  /** A bracket, comma or colon; a quote for a text, 0 for a number. */
  readonly kind: string;
  readonly start: number;
  readonly end: number;
}

/**
 * Brackets, separators, texts and numbers of a JSON text, in order. Without regular expressions: their repetitions run out of
 * stack on some million characters.
 */
function* jsonTokens(text: string): Generator<JsonToken> {
  for (let at = 0; at < text.length; ) {
    const start = at++;
    const kind = text[start]!;
    if (kind === '"') {
      at = endOfText(text, at);
      yield { kind, start, end: at };
    } else if ('{}[],:'.includes(kind)) {
      yield { kind, start, end: at };
    } else if (kind === '-' || isDigit(text, start)) {
      while (inNumber(text, at)) at++;
      yield { kind: '0', start, end: at };
    }
  }
}

/** Where a JSON text ends whose first character is here: behind the first quote that is not escaped. */
function endOfText(json: string, from: number): number {
  for (let quote = json.indexOf('"', from); quote >= 0; quote = json.indexOf('"', quote + 1)) {
    let before = quote;
    while (before > from && json[before - 1] === '\\') before--;
    if ((quote - before) % 2 === 0) return quote + 1;
  }
  return json.length;
}

const isDigit = (text: string, at: number): boolean => text[at]! >= '0' && text[at]! <= '9';
const inNumber = (text: string, at: number): boolean =>
  at < text.length && (isDigit(text, at) || '+-.eE'.includes(text[at]!));

/**
 * The first key that stands twice in one object of a JSON text, or undefined. `JSON.parse` keeps the last one silently,
 * and two readers that keep different ones see different files.
 *
 * @param json valid JSON
 */
export function findDuplicateKey(json: string): string | undefined {
  /** Keys of the objects that are open; undefined for an open list. */
  const open: (Set<string> | undefined)[] = [];
  let last: JsonToken | undefined;
  for (const token of jsonTokens(json)) {
    if (token.kind === '{') open.push(new Set());
    else if (token.kind === '[') open.push(undefined);
    else if (token.kind === '}' || token.kind === ']') open.pop();
    else if (token.kind === ':' && last !== undefined) {
      const key = JSON.parse(json.slice(last.start, last.end)) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
    last = token;
  }
  return undefined;
}

/** The first number of a JSON text that is not in plain digits: `6.4e2`, `-1` or `1.0` is no size and no position. */
export function findOddNumber(json: string): string | undefined {
  for (const { kind, start, end } of jsonTokens(json)) {
    if (kind !== '0') continue;
    for (let at = start; at < end; at++) if (!isDigit(json, at)) return json.slice(start, end);
  }
  return undefined;
}

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
