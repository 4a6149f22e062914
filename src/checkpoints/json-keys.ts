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
