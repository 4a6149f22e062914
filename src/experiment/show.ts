/** Longest text of a value or a key in a message. */
const LONGEST = 60;

/** A value of a definition as it would be written, cut where it is long. */
export function show(value: unknown): string {
  const text = textOf(value, LONGEST + 1);
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 3)}...` : text;
}

/** A key or a place in a list, as it is written in a path. */
export function showKey(key: string): string {
  if (/^[\w$-]{1,60}$/.test(key)) return key;
  return show(key);
}

/** @param room characters after which nobody looks */
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
