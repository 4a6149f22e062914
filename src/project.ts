import { existsSync, readFileSync } from 'node:fs';

/** The project's folder (where package.json is), found from `src/` and from `dist/src/` alike. */
export const projectRoot: URL = findRoot();

function findRoot(): URL {
  const root = ['../', '../../']
    .map((relative) => new URL(relative, import.meta.url))
    .find((folder) => existsSync(new URL('package.json', folder)));
  if (root === undefined) throw new Error('package.json is not where it belongs');
  return root;
}

/** The version in the project's package.json. */
export function version(): string {
  return (JSON.parse(readFileSync(new URL('package.json', projectRoot), 'utf8')) as { version: string }).version;
}

/** The version and the commit that was built: `0.2.0 (commit 1a2b3c4)`; without a build of a git checkout, the version. */
export function versionAndCommit(): string {
  const file = new URL('dist/commit.txt', projectRoot);
  return existsSync(file) ? `${version()} (commit ${readFileSync(file, 'utf8').trim()})` : version();
}
