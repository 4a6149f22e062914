import { createHash } from 'node:crypto';
import { InputError, messageOf } from './errors.js';
import { visibleLines } from './escape.js';

/** Resources for reading a file: enough for any valid one; a hostile one ends within a second and some hundred MB. */
const ROOM = {
  /** Memory of the result: this, plus `perByte` times the file's size. */
  bytes: 64 * 2 ** 20,
  perByte: 16,
  /** Steps of about a microsecond or 100 bytes on the heap: this, plus one per byte, at most `mostSteps`. */
  steps: 1_000_000,
  mostSteps: 10_000_000,
};

/**
 * What is left of the resources for reading one file. Readers spend it where they work, because a few bytes can ask for much:
 * the same text again and again, tensors that share one storage.
 */
export class Budget {
  #bytes = ROOM.bytes;
  #steps = ROOM.steps;
  #size = 0;

  /**
   * @param where name of the file, for messages
   * @param size of the file in bytes
   * @param valid what to read instead, for messages
   */
  constructor(
    readonly where: string,
    size: number,
    readonly valid: string,
  ) {
    this.add(size);
  }

  /** Adds the size of another file, which the first one names. */
  add(size: number): void {
    this.#size += size;
    this.#bytes += ROOM.perByte * size;
    this.#steps += Math.min(size, ROOM.mostSteps - ROOM.steps);
  }

  /** Spends memory. @param part of the file, for the message @throws InputError if too little is left */
  bytes(count: number, part = ''): void {
    this.#bytes -= count;
    if (!(this.#bytes >= 0)) this.#refuse(`${ROOM.bytes + ROOM.perByte * this.#size} bytes of memory`, part);
  }

  /** Spends steps. @throws InputError if too few are left */
  steps(count = 1): void {
    this.#steps -= count;
    if (!(this.#steps >= 0)) this.#refuse(`${Math.min(ROOM.steps + this.#size, ROOM.mostSteps)} steps`);
  }

  #refuse(limit: string, part = ''): never {
    throw new InputError(
      `${this.where}${part && ': '}${part}: takes more than ${limit} to read, the limit for ${this.#size} bytes; valid: ${this.valid}`,
    );
  }
}

/** Deeper than anything that dgate reads; lets callers walk over values by recursion. */
const DEEPEST = 100;

/**
 * Parses JSON of any origin.
 *
 * @param where name of the text, for messages
 * @throws InputError if it is no JSON, nested too deeply, or holds too many values for its length
 */
export function parseJson(text: string, where: string): unknown {
  const budget = new Budget(where, text.length, 'fewer values');
  let depth = 0;
  for (const { kind } of jsonTokens(text)) {
    budget.steps();
    if (kind === '{' || kind === '[') depth++;
    else if (kind === '}' || kind === ']') depth--;
    if (depth > DEEPEST) throw new InputError(`${where}: nested more than ${DEEPEST} levels deep; valid: flatter JSON`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new InputError(`${where}: not JSON: ${messageOf(error)}`);
  }
}

interface JsonToken {
  /** A bracket, comma or colon; a quote for a string, 0 for a number. */
  readonly kind: string;
  readonly start: number;
  readonly end: number;
}

/** Tokens of a JSON text, in order. Regular expressions would run out of stack on some million characters. */
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

/** End of a JSON string, after the first unescaped quote. @param from its first character */
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
 * The first duplicate key in an object of a JSON text. `JSON.parse` silently keeps the last value; another reader may keep the
 * first.
 *
 * @param json valid JSON
 */
export function findDuplicateKey(json: string): string | undefined {
  /** Keys of open objects; undefined for an open list. */
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

/** The first number of a JSON text that is not in plain digits (`6.4e2`, `-1`, `1.0`), and so no size. */
export function findOddNumber(json: string): string | undefined {
  for (const { kind, start, end } of jsonTokens(json)) {
    if (kind !== '0') continue;
    for (let at = start; at < end; at++) if (!isDigit(json, at)) return json.slice(start, end);
  }
  return undefined;
}

/** A safe integer in plain digits; undefined for `0x10`, `6.4e2`, `1_000` and an empty text. */
export function wholeNumber(text: string): number | undefined {
  const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A number in decimal notation (`-0.24`, `.5`, `1e-3`); undefined for hexadecimal, blank and infinite ones. */
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

/** sha256 of bytes or text, in hex. */
export function sha256(data: Uint8Array | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/**
 * JSON with sorted keys and without undefined values, so that equal values have equal text and hash.
 *
 * @throws RangeError on numbers that JSON cannot hold
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'number' && !Number.isFinite(item)) throw new RangeError(`not a finite number: ${item}`);
    if (item === null || typeof item !== 'object' || Array.isArray(item)) return item;
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** An object as readable JSON whose last property is a hash of the text before it. */
export function seal(value: object): string {
  const text = visibleLines(JSON.stringify(value, null, 1)).replace(/^\{\}$/, '{\n}');
  return `${text.slice(0, -2)}${text === '{\n}' ? '' : ','}\n "seal": "${sha256(text)}"\n}\n`;
}

/** The object of {@link seal}; undefined if the text was changed in any bit. */
export function unseal(sealed: string): unknown {
  const at = sealed.lastIndexOf(',\n "seal": "');
  const [, hash] = /^,\n "seal": "([0-9a-f]{64})"\n\}\n$/.exec(sealed.slice(at)) ?? [];
  const text = `${sealed.slice(0, at)}\n}`;
  return at < 0 || sha256(text) !== hash ? undefined : parseJson(text, 'what was sealed');
}
