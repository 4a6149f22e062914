import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../project.js';

/** What is compiled into `dist/` by `npm run build`. */
const SOURCES = ['bin', 'src', 'experiments'];

/**
 * A line where this is the compiled code of a checkout whose sources have changed since `npm run build`: it would do, and
 * time, something else than what they say. Nothing where the sources themselves run, or where a package has none.
 *
 * @param root the project's folder
 * @param running a module of the code that runs
 */
export async function staleBuild(
  root = fileURLToPath(projectRoot),
  running = fileURLToPath(import.meta.url),
): Promise<string | undefined> {
  const built = join(root, 'dist');
  if (!running.startsWith(built + sep)) return undefined;
  const since = (await stat(join(built, 'bin', 'dgate.js'))).mtimeMs;
  const sources = (await Promise.all(SOURCES.map((folder) => sourcesIn(join(root, folder))))).flat();
  const times = await Promise.all(sources.map(async (path) => (await stat(path)).mtimeMs));
  const newer = sources.find((_, i) => times[i]! > since);
  if (newer === undefined) return undefined;
  return `dist/ is older than ${relative(root, newer)}: the code from before that change runs; npm run build`;
}

async function sourcesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort();
}
