import { existsSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { paperAnalyses } from '../paper/index.js';
import { projectRoot } from '../project.js';
import { contextIn } from '../run/context.js';
import type { AnalysisContext } from '../run/stages.js';
import { type CodeModules, changedSince } from '../store/code.js';
import { readJson } from '../store/files.js';
import { ensureFolder } from '../store/store.js';
import { cacheFolder, type GlobalOptions, resultsFolder } from './command.js';
import { consoleProgress } from './progress.js';

/** Folders and progress of a command, from its options and the environment. @throws InputError */
export async function openContext(options: GlobalOptions): Promise<AnalysisContext> {
  const cache = cacheFolder(options);
  await ensureFolder(cache);
  const progress = consoleProgress();
  const stale = await staleBuild();
  if (stale !== undefined) progress.warn(stale);
  const results = resultsFolder(options);
  const exitTimes: AnalysisContext['exitTimes'] = async (basis) =>
    (await import('../gated/time/time.js')).lastExitTimes(basis, results);
  return { ...contextIn(cache, results, progress), analyses: paperAnalyses, exitTimes };
}

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
