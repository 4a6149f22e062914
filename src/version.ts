import { existsSync, readFileSync } from 'node:fs';

/** The version in the project's package.json, found from `src/` and from `dist/src/` alike. */
export function version(): string {
  const path = ['../package.json', '../../package.json']
    .map((relative) => new URL(relative, import.meta.url))
    .find((url) => existsSync(url));
  if (path === undefined) throw new Error('package.json is not where it belongs');
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}
