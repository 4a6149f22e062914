import { readTextIfThere, writeFileAtomic } from './files.js';
import { seal, unseal } from './text.js';

/** For `JSON.stringify`: a closed gate's threshold is the text `Infinity`. */
export const infinityAsText = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

/** JSON that people read. */
export function readableJson(value: unknown): string {
  return JSON.stringify(value, infinityAsText, 2);
}

/** Writes a sealed record: every later change is detected. */
export async function writeSealed(path: string, value: object): Promise<void> {
  await writeFileAtomic(path, seal(JSON.parse(readableJson(value)) as object));
}

/** The content of a sealed file, or why it cannot be trusted; undefined if it does not exist. */
export async function readSealed(
  path: string,
): Promise<{ readonly found: unknown } | { readonly why: string } | undefined> {
  const text = await readTextIfThere(path);
  if (text === undefined) return undefined;
  const found = unseal(text);
  if (found !== undefined) return { found };
  return { why: `${path}: not as dgate wrote it: edited, damaged, or of an older version` };
}

/** The values of a tree by their paths; a list is one value. */
export function flatten(value: unknown, path = ''): [path: string, value: number | string][] {
  if (value === undefined) return [];
  if (typeof value === 'number') return [[path, value]];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [[path, typeof value === 'string' ? value : JSON.stringify(value, infinityAsText)]];
  }
  return Object.entries(value).flatMap(([key, item]) => flatten(item, path === '' ? key : `${path}.${key}`));
}
