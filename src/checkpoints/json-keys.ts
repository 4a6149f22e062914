/**
 * The first key that stands twice in one object of a JSON text, or undefined. `JSON.parse` keeps the last one silently,
 * and two readers that keep different ones see different files.
 *
 * @param json valid JSON
 */
export function findDuplicateKey(json: string): string | undefined {
  /** Keys of the objects that are open; undefined for an open list. */
  const open: (Set<string> | undefined)[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gy;
  const next = /[^"{}[\],:]*/y;
  let text: string | undefined;
  for (let position = 0; position < json.length; position = token.lastIndex) {
    next.lastIndex = position;
    next.test(json);
    token.lastIndex = next.lastIndex;
    const found = token.exec(json)?.[0];
    if (found === undefined) return undefined;
    if (found === '{') open.push(new Set());
    else if (found === '[') open.push(undefined);
    else if (found === '}' || found === ']') open.pop();
    else if (found === ':' && text !== undefined) {
      const key = JSON.parse(text) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
    text = found.startsWith('"') ? found : undefined;
  }
  return undefined;
}

/** The first number of a JSON text that is not in plain digits: `6.4e2`, `-1` or `1.0` is no size and no position. */
export function findOddNumber(json: string): string | undefined {
  const start = /["\d-]/g;
  const number = /[-+.\w]+/y;
  for (let found = start.exec(json); found !== null; found = start.exec(json)) {
    if (found[0] === '"') start.lastIndex = endOfText(json, found.index + 1);
    else {
      number.lastIndex = found.index;
      const text = number.exec(json)![0];
      if (!/^\d+$/.test(text)) return text;
      start.lastIndex = number.lastIndex;
    }
  }
  return undefined;
}

/** Where a JSON string ends whose first character is here: behind the first quote that is not escaped. */
function endOfText(json: string, from: number): number {
  for (let quote = json.indexOf('"', from); quote >= 0; quote = json.indexOf('"', quote + 1)) {
    let before = quote;
    while (before > from && json[before - 1] === '\\') before--;
    if ((quote - before) % 2 === 0) return quote + 1;
  }
  return json.length;
}
