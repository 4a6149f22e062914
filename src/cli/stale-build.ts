import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../project.js';
import { type CodeModules, changedSince } from '../store/code.js';
import { readJson } from '../store/files.js';

/**
 * A line where this is the compiled code of a checkout whose sources have changed since `npm run build`: it would do, and
 * time, something else than what they say. Contents are compared, not times: git and npm write files in any order. Nothing
 * where the sources themselves run, or where a package has none.
 *
 * @param root the project's folder
 * @param running a module of the code that runs
 */
export async function staleBuild(
  root = fileURLToPath(projectRoot),
  running = fileURLToPath(import.meta.url),
): Promise<string | undefined> {
  const built = join(root, 'dist');
  if (!running.startsWith(built + sep) || !existsSync(join(root, 'src'))) return undefined;
  const changed = changedSince((await readJson(join(built, 'code.json'))) as CodeModules, root);
  if (changed === undefined) return undefined;
  return `dist/ is older than ${changed}: the code from before that change runs; npm run build`;
}
