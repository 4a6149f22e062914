import { createHash } from 'node:crypto';
import { visibleLines } from '../escape.js';
import { parseJson } from '../json.js';

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

/** An object as readable JSON whose last property is the hash of all before it: any change of the text is noticed. */
export function seal(value: object): string {
  const text = visibleLines(JSON.stringify(value, null, 1)).replace(/^\{\}$/, '{\n}');
  return `${text.slice(0, -2)}${text === '{\n}' ? '' : ','}\n "seal": "${sha256(text)}"\n}\n`;
}

/** The sealed object; undefined if the text differs in any bit from what {@link seal} wrote. */
export function unseal(sealed: string): unknown {
  const at = sealed.lastIndexOf(',\n "seal": "');
  const [, hash] = /^,\n "seal": "([0-9a-f]{64})"\n\}\n$/.exec(sealed.slice(at)) ?? [];
  const text = `${sealed.slice(0, at)}\n}`;
  return at < 0 || sha256(text) !== hash ? undefined : parseJson(text, 'what was sealed');
}
