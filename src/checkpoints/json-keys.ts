/**
 * The first key that stands twice in one object of a JSON text, or undefined. `JSON.parse` keeps the last one silently,
 * and two readers that keep different ones see different files.
 *
 * @param json valid JSON
 */
export function findDuplicateKey(json: string): string | undefined {
  /** Keys of the objects that are open; undefined for an open list. */
  const open: (Set<string> | undefined)[] = [];
  const token = /["{}[\],:]/g;
  let text: string | undefined;
  for (let found = token.exec(json); found !== null; found = token.exec(json)) {
    const [mark] = found;
    if (mark === '{') open.push(new Set());
    else if (mark === '[') open.push(undefined);
    else if (mark === '}' || mark === ']') open.pop();
    else if (mark === ':' && text !== undefined) {
      const key = JSON.parse(text) as string;
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
    text = undefined;
    if (mark !== '"') continue;
    // Not a pattern for the whole text: of 16 million characters it overflows the stack.
    token.lastIndex = endOfText(json, found.index + 1);
    text = json.slice(found.index, token.lastIndex);
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
