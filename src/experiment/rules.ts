import { types } from 'node:util';
import { z } from 'zod';
import { InputError, messageOf } from '../errors.js';

// What a value in a definition may be. Messages say what would be valid; `resolve.ts` puts path and value before them.

export const text = (valid: string, pattern: RegExp) => z.string({ error: valid }).regex(pattern, { error: valid });

export const whole = (least: number, most = 1e9) => {
  const error = `a whole number from ${least} to ${most}`;
  return z.number({ error }).int({ error }).min(least, { error }).max(most, { error });
};

export const real = (least: number, most: number, valid = `a number from ${least} to ${most}`) =>
  z.number({ error: valid }).min(least, { error: valid }).max(most, { error: valid });

export const choice = <const T extends readonly string[]>(values: T) => z.enum(values, { error: values.join(', ') });

export const list = <T extends z.ZodType>(item: T, valid: string) => z.array(item, { error: valid });

/** A type whose lists and objects may be constants. */
export type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;

/** Sizes of a run. `paper`: the paper's networks and data; `laptop`: minutes on two cores; `smoke`: seconds, for CI. */
export const presetNames = ['paper', 'laptop', 'quick', 'smoke'] as const;
export type PresetName = (typeof presetNames)[number];

export type Plain = Readonly<Record<string, unknown>>;

/** Far more than an experiment needs. */
const limits = { depth: 20, values: 20_000 };

/**
 * A copy of a definition file's export, of JSON's values only. Anything else becomes a symbol with its description. The copy
 * ensures that the values checked are the values used: getters may change.
 *
 * @param where name of the file, for messages
 * @throws InputError for more than 20,000 values
 */
export function plainCopy(value: unknown, where: string): unknown {
  const above = new Set<object>();
  let values = 0;
  const copy = (item: unknown): unknown => {
    // The whole length of a list counts before it is copied: a sparse list can have any length.
    if (++values + (Array.isArray(item) ? item.length : 0) > limits.values) {
      throw new InputError(`${where}: holds more than ${limits.values} values; valid: an experiment`);
    }
    if (typeof item !== 'object' || item === null) return isPlainLeaf(item) ? item : Symbol(oddText(item));
    const odd = oddObject(item);
    if (odd !== undefined) return Symbol(odd);
    if (above.has(item)) return Symbol('a reference to what it is in');
    if (above.size >= limits.depth) return Symbol(`something nested more than ${limits.depth} deep`);
    above.add(item);
    const result = Array.isArray(item) ? Array.from({ length: item.length }, (_, i) => copyAt(item, i)) : copyOf(item);
    above.delete(item);
    return result;
  };
  const copyOf = (item: object): Plain => {
    const result: Record<string, unknown> = {};
    for (const key of Object.keys(item)) put(result, key, copyAt(item, key));
    return result;
  };
  const copyAt = (item: object, key: string | number): unknown => {
    let found: unknown;
    try {
      found = (item as Record<string | number, unknown>)[key];
    } catch (error) {
      return Symbol(`a getter that throws: ${messageOf(error)}`);
    }
    return copy(found);
  };
  return copy(value);
}

/** Sets an own property, also one that is called `__proto__`. */
export function put(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const isPlainLeaf = (value: unknown): boolean =>
  value === null || ['boolean', 'number', 'string', 'undefined'].includes(typeof value);

function oddText(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  return typeof value === 'symbol' ? String(value) : 'a function';
}

/** A description of an object that is neither a list nor plain; undefined for others. */
function oddObject(value: object): string | undefined {
  if (types.isProxy(value)) return 'a Proxy';
  if (types.isPromise(value)) return 'a promise';
  if (types.isDate(value)) return 'a Date';
  if (types.isMap(value) || types.isSet(value)) return types.isMap(value) ? 'a Map' : 'a Set';
  if (types.isRegExp(value)) return 'a regular expression';
  if (types.isNativeError(value)) return 'an Error';
  if (types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value)) return 'a typed array';
  if (types.isBoxedPrimitive(value)) return 'a boxed value';
  return undefined;
}

/** Longest text of a value or a key in a message. */
const LONGEST = 60;

/** A value as it would be written in a definition, cut if it is long. */
export function show(value: unknown): string {
  const text = textOf(value, LONGEST + 1);
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
}

/** A key as it is written in a path. */
export const showKey = (key: string): string => (/^[\w$-]{1,60}$/.test(key) ? key : show(key));

/** @param room most characters that are needed */
function textOf(value: unknown, room: number): string {
  if (typeof value === 'symbol') return value.description ?? ''; // see plainCopy
  if (typeof value === 'string') return JSON.stringify(value.slice(0, LONGEST + 1));
  if (typeof value !== 'object' || value === null) return String(value); // JSON has no NaN and no Infinity
  const parts: string[] = [];
  const entries = Array.isArray(value) ? value.map((item: unknown) => ['', item] as const) : Object.entries(value);
  let length = 0;
  for (const [key, item] of entries) {
    const name = Array.isArray(value) ? '' : `${JSON.stringify(key.slice(0, LONGEST))}:`;
    parts.push(`${name}${textOf(item, room - length)}`);
    length += parts.at(-1)!.length + 1;
    if (length > room) break;
  }
  return Array.isArray(value) ? `[${parts.join(',')}]` : `{${parts.join(',')}}`;
}
